"""Train artifacts that a config names: by their keys, their folders, links or files there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.base import trained_file
from pipeline.config.schema import PipelineConfig
from pipeline.config.train import TECHNIQUES, model_kinds
from pipeline.core.errors import ConfigError
from pipeline.store.artifact import KEY

LEARNING = ("tune", "train")


def with_folders(config: PipelineConfig, artifacts: Path) -> PipelineConfig:
    """The config, with train artifacts named by their folders, however it named them.

    A link may lead elsewhere tomorrow, and only what lies in the folder is told from the name.

    Args:
        config: as it was read.
        artifacts: the folder of all artifacts.

    Raises:
        ConfigError: a model to begin or learn from is not there.
    """
    train = config.train
    changes: dict[str, object] = {}
    if train.initial_weights:
        changes["initial_weights"] = _model(
            train.initial_weights, artifacts, "train.initial_weights"
        )
    for name, section in train.techniques.items():
        folders = {
            key: _model(getattr(section, key), artifacts, f"train.{name}.{key}")
            for key in section.trained_models
        }
        if folders:
            changes[name] = section.model_copy(update=folders)
    if train.model_file:
        changes["model_file"] = trained_file(_folder(train.model_file, artifacts))
    changed = train.model_copy(update=changes)
    return config if changed == train else config.model_copy(update={"train": changed})


def _model(path: Path, artifacts: Path, setting: str) -> Path:
    found = _folder(path, artifacts)
    if (path.is_file() and path.suffix != ".keras") or (path / "saved_model.pb").is_file():
        raise ConfigError(f"{setting}: {model_kinds.explanation(path)}")
    if not trained_file(found).is_file():
        raise ConfigError(
            f"{setting}: {path} is neither a train artifact nor a .keras file; "
            f"expected one of them, such as {artifacts}/runs/RUN/train, or a key"
        )
    return found


def _folder(path: Path, artifacts: Path) -> Path:
    """The folder of the train artifact that a path means; the path itself if it means none."""
    folder = artifacts / "train"
    if KEY.fullmatch(str(path)):
        return folder / path
    # Path.resolve() raises where links form a loop.
    real = Path(os.path.realpath(trained_file(path)))
    found, own = real.parent, Path(os.path.realpath(folder))
    is_own = found.parent == own and KEY.fullmatch(found.name) and real == trained_file(found)
    return folder / found.name if is_own else path


def made_from(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The artifacts, by stage and key, of a manifest's inputs, and the models that it began from.

    The latter are no inputs: a config names them by their folders, as it may any other file.
    """
    inputs = [(stage, str(identity["key"])) for stage, identity in manifest["inputs"].items()]
    is_learnt = manifest.get("stage") in LEARNING
    return [*inputs, *(named_in(manifest.get("config", {}).get("train")) if is_learnt else ())]


def named_in(train: Any) -> list[tuple[str, str]]:
    """The train artifacts, by stage and key, that a section `train` names, as plain data."""
    if not isinstance(train, dict):
        return []
    places = [train.get("initial_weights"), train.get("model_file")]
    for name, technique in TECHNIQUES.items():
        section = train.get(name)
        if isinstance(section, dict):
            places.extend(map(section.get, technique.trained_models))
    named = [Path(place) for place in places if isinstance(place, str)]
    folders = [path.parent if path.suffix == ".keras" else path for path in named]
    return [
        ("train", folder.name)
        for folder in folders
        if folder.parent.name == "train" and KEY.fullmatch(folder.name)
    ]
