"""Train artifacts that a config names by their keys."""

from pathlib import Path

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
