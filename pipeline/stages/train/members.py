"""Trains the members of an ensemble one after another, and publishes their mean."""

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import keras

from export.keras_files import load
from pipeline.config.schema import PipelineConfig
from pipeline.core.progress import Progress, Task
from pipeline.data import dataset_json
from pipeline.data.batches import evaluation_batches
from pipeline.training.fit import VALIDATION_BATCH_SIZE, open_splits
from pipeline.training.techniques.ensemble import join, member_configs, members_of
from pipeline.workflow.stage import StageContext, StageResult

HISTORY, TENSORBOARD = "history.csv", "tensorboard"

Train = Callable[[StageContext], StageResult]
"""Trains the network that `build` of its context made, and fills the output folder."""


@dataclass(frozen=True)
class Labelled(Progress):
    """Progress that says of which member it is."""

    progress: Progress
    label: str

    def task(self, description: str, total: int) -> AbstractContextManager[Task]:
        return self.progress.task(f"{description} {self.label}", total)

    def line(self, text: str) -> None:
        self.progress.line(text)


def train_members(context: StageContext, train: Train) -> StageResult:
    """Trains each member, and publishes their mean as `model.keras` with the history of all.

    Each has a folder of its own in `scratch`, with its checkpoint: after a kill, those that had
    come to their end are taken as they are.
    """
    untrained = members_of(load.load(context.inputs["build"] / load.MODEL))
    results, folders = [], []
    configs = member_configs(context.config)
    for number, (config, start) in enumerate(zip(configs, untrained, strict=True), start=1):
        own = _own_context(context, config, number)
        start.save(own.inputs["build"] / load.MODEL)
        label = f"member {number} of {len(configs)}"
        context.progress.line(f"{label}: {config.model.preset}, seed {config.seed}")
        results.append(train(own))
        folders.append(own.output)
    joined = join([load.load(folder / load.MODEL) for folder in folders])
    joined.save(context.output / load.MODEL)
    _gather(folders, context.output)
    return _result(joined, context, results)


def _own_context(context: StageContext, config: PipelineConfig, number: int) -> StageContext:
    """What a member trains with: an empty output, and a scratch folder that outlives a kill."""
    label = f"member {number} of {context.config.train.members}"
    scratch = context.scratch / f"member{number}"
    output, build = scratch / "output", scratch / "build"
    for folder in (output, build):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    return replace(
        context,
        config=config,
        inputs={**context.inputs, "build": build},
        output=output,
        scratch=scratch,
        progress=Labelled(context.progress, label),
        identity=f"{context.identity} {label}",
    )


def _gather(folders: Sequence[Path], output: Path) -> None:
    """One history of all members, a row a member and epoch, and the logs of each."""
    with (output / HISTORY).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(_rows(folders))
    for number, folder in enumerate(folders, start=1):
        if (folder / TENSORBOARD).is_dir():
            shutil.copytree(folder / TENSORBOARD, output / TENSORBOARD / f"member{number}")


def _rows(folders: Sequence[Path]) -> Iterator[list[str]]:
    for number, folder in enumerate(folders, start=1):
        with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file)
        if number == 1:
            yield ["member", *names]
        yield from ([str(number), *row] for row in rows)


def _result(
    joined: keras.Model, context: StageContext, results: Sequence[StageResult]
) -> StageResult:
    loss, accuracy = _validate(joined, context)
    alone = [float(result.metrics["val_accuracy"]) for result in results]
    shared = {
        name: value
        for name, value in results[0].metrics.items()
        if all(result.metrics.get(name) == value for result in results)
    }
    of_one = ("val_accuracy", "val_loss", "best_epoch")
    return StageResult(
        f"validation accuracy {accuracy:.2%} of {len(results)} members together, "
        f"{fmean(alone):.2%} of one alone in the mean",
        {
            **{name: value for name, value in shared.items() if name not in of_one},
            "val_accuracy": accuracy,
            "val_loss": loss,
            "members": len(results),
            "members_alone": ", ".join(f"{value:.2%}" for value in alone),
        },
    )


def _validate(joined: keras.Model, context: StageContext) -> tuple[float, float]:
    """Loss and accuracy on the validation split."""
    ingest, limit = context.inputs["ingest"], context.config.train.memory_limit_mib
    classes = dataset_json.read(ingest).num_classes
    splits, _ = open_splits(ingest, limit, classes)
    joined.compile(
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    batches = evaluation_batches(splits.validation, classes, VALIDATION_BATCH_SIZE)
    found = joined.evaluate(batches, verbose=0, return_dict=True)
    return float(found["loss"]), float(found["accuracy"])
