"""Trains a network on the training split; `tune` and `train` both do it here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config import PipelineConfig
from pipeline.data.dataset import BatchPlan, evaluation_batches, steps_per_epoch, training_batches
from pipeline.data.records import Shards, open_split
from pipeline.data.splits import stratified_sample
from pipeline.errors import ConfigError
from pipeline.sources import LabelledImages
from pipeline.training.optimizer import class_weights, compile_model, weigh
from pipeline.training.precision import Execution

LONGEST_EXECUTION = 32
VALIDATION_BATCH_SIZE = 500


@dataclass(frozen=True)
class Splits:
    """What training may see: never the test split."""

    train: LabelledImages | Shards
    validation: LabelledImages | Shards
    num_classes: int


def open_splits(
    folder: Path, memory_limit_mib: int, num_classes: int, *, fraction: float = 1, seed: int = 0
) -> tuple[Splits, str]:
    """Reads the images of an ingest artifact into memory if they fit there.

    Args:
        folder: the artifact.
        memory_limit_mib: what may be held in memory.
        num_classes: how many there are.
        fraction: share of each class of the training images to take.
        seed: decides which.

    Returns:
        The splits, and in words where their images are.

    Raises:
        ConfigError: a part of the training images is too large for memory.
    """
    train, validation = (open_split(folder, split) for split in ("train", "validation"))
    size_mib = (fraction * train.size_bytes + validation.size_bytes) / 2**20
    size = f"{size_mib:,.{0 if size_mib >= 1 else 3}f} MiB of images"
    if size_mib <= memory_limit_mib:
        count = max(1, round(fraction * len(train)))
        chosen = None if fraction == 1 else stratified_sample(train.labels(), count, seed)
        return Splits(train.read(chosen), validation.read(), num_classes), f"{size}, held in memory"
    if fraction < 1:
        raise ConfigError(
            f"tune.data_fraction {fraction:g} takes {size}, more than train.memory_limit_mib "
            f"({memory_limit_mib:,}). Lower the fraction, or raise the limit."
        )
    limit = f"train.memory_limit_mib is {memory_limit_mib:,}"
    return Splits(train, validation, num_classes), f"{size}, read from their shards: {limit}"


def fit(
    model: keras.Model,
    config: PipelineConfig,
    splits: Splits,
    execution: Execution,
    callbacks: Sequence[Any],
) -> None:
    """Trains for `config.train.epochs` epochs.

    Args:
        model: the network with the weights to start from.
        config: `train`, `augmentation` and `seed` are read.
        splits: the images.
        execution: precision is the model's own; `jit_compile` is taken from here.
        callbacks: run after those that the config asks for.
    """
    section = config.train
    steps = steps_per_epoch(len(splits.train), section.batch_size)
    compile_model(
        model,
        section,
        steps * section.epochs,
        {"jit_compile": execution.jit_compile, "steps_per_execution": _steps_at_once(steps)},
    )
    plan = BatchPlan(splits.num_classes, section.batch_size, config.seed, section.epochs)
    batches = training_batches(splits.train, config.augmentation, plan)
    if section.class_weights == "balanced":
        batches = batches.map(partial(weigh, weights=_class_weights(splits))).prefetch(2)
    model.fit(
        batches,
        epochs=section.epochs,
        steps_per_epoch=steps,
        validation_data=evaluation_batches(
            splits.validation, splits.num_classes, VALIDATION_BATCH_SIZE
        ),
        callbacks=[*_configured(config), *callbacks],
        shuffle=False,
        verbose=0,
    )


def _steps_at_once(steps: int) -> int:
    """The most steps in one call of the graph that divide an epoch evenly.

    Keras draws whole executions from a dataset that goes on over epochs, so an uneven one would
    shift every later epoch.
    """
    return max(n for n in range(1, LONGEST_EXECUTION + 1) if steps % n == 0)


def _class_weights(splits: Splits) -> tf.Tensor:
    """float32 (classes,); 1 for a class without training images."""
    train, classes = splits.train, splits.num_classes
    if isinstance(train, Shards):
        found = class_weights(train.class_counts)
    else:
        found = class_weights(np.bincount(train.labels, minlength=classes).tolist())
    return tf.constant([found.get(i, 1.0) for i in range(classes)])


def _configured(config: PipelineConfig) -> list[Any]:
    callbacks: list[Any] = []
    if config.train.ema_momentum is not None:
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if config.train.early_stopping_patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=config.train.monitor, patience=config.train.early_stopping_patience
            )
        )
    return callbacks
