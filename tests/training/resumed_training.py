"""A training in deterministic mode with all that a checkpoint must hold, to be ended at will."""

import csv
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import keras
import numpy as np

from pipeline.config.schema import (
    AugmentationSection,
    DataSection,
    ExportSection,
    ModelSection,
    PipelineConfig,
    TrainSection,
)
from pipeline.data import dataset_json, sharding, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.training.callbacks import KeepBest, WriteHistory
from pipeline.training.checkpoint import CheckpointFile
from pipeline.training.divergence import StopOnDivergence
from pipeline.training.fit import Splits, Training, fit, open_splits
from pipeline.training.precision import Execution, deterministic
from pipeline.training.resume import Resume
from pipeline.training.techniques import chain_of

CLASSES, SIDE, EPOCHS, STEPS, TRAINED = 3, 8, 5, 6, 3


def images(count: int, seed: int) -> LabelledImages:
    """Images whose class is the pair of rows that is bright, if one looks closely."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    found = random.integers(0, 200, (count, SIDE, SIDE, 1), dtype=np.uint8)
    for image, label in zip(found, labels, strict=True):
        image[2 * label : 2 * label + 2] += 50
    return LabelledImages(found, labels)


def write_images(folder: Path) -> None:
    """Puts both splits into shards, several of each.

    Validation is labelled wrongly: the first epoch is the best one, the third the last.
    """
    check = images(30, seed=2)
    wrong = LabelledImages(check.images, (check.labels + 1) % CLASSES)
    parts = {"train": images(58, seed=1), "validation": wrong}
    counts = {name: tuple(np.bincount(part.labels).tolist()) for name, part in parts.items()}
    described = Description((SIDE, SIDE, 1), tuple("abc"), counts, (), (), "made", {}, {})
    dataset_json.write(folder, described)
    with patch.object(sharding, "SHARD_BYTES", 1000):
        for name, part in parts.items():
            tfrecords.write_split(folder, name, part)


AUGMENTED = AugmentationSection(shift_fraction=0.1, mixup_alpha=0.4)
AS_THEY_ARE = AugmentationSection()


def make_config(augmentation=AUGMENTED, **train) -> PipelineConfig:
    options = {
        "epochs": EPOCHS,
        "batch_size": 10,
        "optimizer": "adamw",
        "learning_rate": 0.03,
        "weight_decay": 0.01,
        "schedule": "one_cycle",
        "ema_momentum": 0.8,
        "early_stopping_patience": 2,
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "deterministic": True,
        "checkpoint_every_steps": 2,
        **train,
    }
    return PipelineConfig(
        name="test",
        data=DataSection(source="idx"),
        augmentation=augmentation,
        model=ModelSection(preset="two_conv"),
        train=TrainSection(**options),
        export=ExportSection(formats=("onnx",)),
    )


def make_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1), name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Activation("relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(CLASSES),
            keras.layers.Activation("softmax"),
        ]
    )


def open_images(folder: Path, place: str) -> Splits:
    splits, _ = open_splits(folder, {"memory": 100, "shards": 0}[place], CLASSES)
    return splits


def train(config: PipelineConfig, splits: Splits, folder: Path, *callbacks, began=None):
    """Trains, or goes on, with checkpoints in `folder`; gives all that must come out the same.

    `began` is told from which epoch and step.
    """
    folder.mkdir(exist_ok=True)
    described = Description((SIDE, SIDE, 1), tuple("abc"), {}, (), (), "made", {}, {})
    chain = chain_of(config.train, described, splits.validation, lambda text: None)
    chain.prepare()
    model = chain.wrap(make_model())
    best = KeepBest(config.train.monitor, chain.first_epoch())
    file = CheckpointFile(folder)
    resume = Resume(file, "same", "here", file.read("same", print))
    if began is not None:
        began.append(resume.place)
    watchers = [
        StopOnDivergence(config.train),
        best,
        WriteHistory(folder / "history.csv"),
        *callbacks,
    ]
    with deterministic(config.train.deterministic):
        execution = Execution("float32", False, "test")
        fit(model, Training(config, splits, execution, chain), watchers, resume)
    return SimpleNamespace(
        best=best.weights,
        logs=best.logs,
        last=[v.numpy() for v in (*model.variables, *model.optimizer.variables)],
        history=history(folder / "history.csv"),
    )


def history(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_same(one, other) -> None:
    """The same to the last bit."""
    assert (one.history, one.logs) == (other.history, other.logs)
    for name in ("best", "last"):
        pairs = zip(getattr(one, name), getattr(other, name), strict=True)
        assert [a.tobytes() for a, b in pairs if a.tobytes() != b.tobytes()] == [], name
