"""Train artifacts that a config names by their keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import KEY
from pipeline.config import PipelineConfig


def with_folders(config: PipelineConfig, artifacts: Path) -> PipelineConfig:
    """The config, with the folder of a train artifact in the place of its key.

    Args:
        config: as it was read.
        artifacts: the folder of all artifacts.
    """
    train = config.train
    changes: dict[str, object] = {}
    if train.initial_weights and KEY.fullmatch(str(train.initial_weights)):
        changes["initial_weights"] = artifacts / "train" / train.initial_weights
    if train.distillation and KEY.fullmatch(str(train.distillation.teacher)):
        teacher = {"teacher": artifacts / "train" / train.distillation.teacher}
        changes["distillation"] = train.distillation.model_copy(update=teacher)
    if not changes:
        return config
    return config.model_copy(update={"train": train.model_copy(update=changes)})


def learnt_from(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The train artifacts, by stage and key, whose models the one of a manifest began from.

    They are no inputs: a config names them by their folders, as it may any other file.
    """
    train = manifest.get("config", {}).get("train")
    if not isinstance(train, dict):
        return []
    distillation = train.get("distillation")
    teacher = distillation.get("teacher") if isinstance(distillation, dict) else None
    places = [train.get("initial_weights"), teacher]
    named = [Path(place) for place in places if isinstance(place, str)]
    return [
        ("train", path.name)
        for path in named
        if path.parent.name == "train" and KEY.fullmatch(path.name)
    ]
