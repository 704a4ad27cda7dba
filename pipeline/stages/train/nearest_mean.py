"""Publishes a classifier by the nearest class mean, in place of a training."""

from collections.abc import Mapping
from typing import Any

from export.keras_files import load
from pipeline.data import dataset_json
from pipeline.training.callbacks import COLUMNS
from pipeline.training.fit import Splits
from pipeline.training.techniques.nearest_class_mean import set_nearest_mean
from pipeline.workflow.stage import StageContext, StageResult


def publish_means(
    context: StageContext,
    model: Any,
    untrained: Any,
    splits: Splits,
    lineage: Mapping[str, str],
) -> StageResult:
    """What `train` publishes in place of a training; the history has no epochs.

    Args:
        context: of the stage.
        model: has the weights that it begins from.
        untrained: the network with its layers in float32; gets the weights.
        splits: as `set_nearest_mean` takes them.
        lineage: for the manifest.
    """
    classes = dataset_json.read(context.inputs["ingest"]).classes
    found = set_nearest_mean(model, splits, classes)
    untrained.set_weights(model.get_weights())
    untrained.save(context.output / load.MODEL)
    (context.output / "history.csv").write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    return StageResult(
        f"validation accuracy {found.accuracy:.2%}, by the nearest of {len(classes)} means of "
        "features; nothing was trained",
        {"val_accuracy": found.accuracy, "val_loss": found.loss, **lineage},
    )
