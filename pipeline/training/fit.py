"""Trains a network on the training split; `tune` and `train` both do it here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.schema import PipelineConfig, TrainSection
from pipeline.core.errors import ConfigError
from pipeline.data.batches import BatchPlan, evaluation_batches, steps_per_epoch, training_batches
from pipeline.data.images.stratified import stratified_sample
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import Shards, open_split
from pipeline.training.callbacks import AverageWeights, StopEarly
from pipeline.training.distributed.replicated_model import scope_of
from pipeline.training.optimizer import class_weights, compile_model, weigh
from pipeline.training.precision import Execution
from pipeline.training.resume import Resume, SaveCheckpoints
from pipeline.training.technique import Chain

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


@dataclass(frozen=True)
class Training:
    """What a network is trained by.

    Attributes:
        config: `train`, `augmentation` and `seed` are read.
        splits: the images.
        execution: precision is the network's own; `jit_compile` is taken from here.
        chain: the techniques, by which the network was wrapped.
    """

    config: PipelineConfig
    splits: Splits
    execution: Execution
    chain: Chain = field(default_factory=Chain)


def fit(
    model: keras.Model,
    training: Training,
    callbacks: Sequence[Any] = (),
    resume: Resume | None = None,
) -> None:
    """Trains for `config.train.epochs` epochs, or what is left of them.

    Args:
        model: the network with the weights to start from.
        training: images, settings and techniques.
        callbacks: run after those that the config and the techniques ask for.
        resume: where to begin, and where to save checkpoints; without it none are saved.
    """
    config, splits, chain = training.config, training.splits, training.chain
    section = config.train
    steps = steps_per_epoch(len(splits.train), section.batch_size)
    epoch, step = resume.place if resume else (0, 0)
    at_once = steps_at_once(math.gcd(steps, step), section.checkpoint_every_steps)
    options = {"jit_compile": training.execution.jit_compile, "steps_per_execution": at_once}
    with scope_of(model):
        compile_model(model, section, steps * section.epochs, options)
    chain.compiled(model, steps)
    # What makes variables at its first call is traced twice.
    model.optimizer.build(model.trainable_variables)
    validation = evaluation_batches(splits.validation, splits.num_classes, VALIDATION_BATCH_SIZE)
    model.fit(
        _batches(config, splits, epoch, step),
        epochs=section.epochs,
        initial_epoch=epoch,
        steps_per_epoch=steps,
        validation_data=validation,
        callbacks=_all_callbacks(section, chain, callbacks, resume),
        shuffle=False,
        verbose=0,
    )


def steps_at_once(steps: int, limit: int | None) -> int:
    """The most steps in one call of the graph, up to a limit, that divide these evenly.

    Keras draws whole executions from a dataset that goes on over epochs, so an uneven one would
    shift every later epoch.
    """
    longest = min(LONGEST_EXECUTION, limit or LONGEST_EXECUTION)
    return max(n for n in range(1, longest + 1) if steps % n == 0)


def _batches(config: PipelineConfig, splits: Splits, epoch: int, step: int) -> tf.data.Dataset:
    """What is left to train on; where nothing is, an epoch, since Keras looks at a batch."""
    section = config.train
    first = min(epoch, section.epochs - 1)
    plan = BatchPlan(
        splits.num_classes, section.batch_size, config.seed, section.epochs, first, step
    )
    batches = training_batches(splits.train, config.augmentation, plan)
    if section.class_weights == "balanced":
        return batches.map(partial(weigh, weights=_class_weights(splits))).prefetch(2)
    return batches


def _class_weights(splits: Splits) -> tf.Tensor:
    """float32 (classes,); 1 for a class without training images."""
    train, classes = splits.train, splits.num_classes
    if isinstance(train, Shards):
        found = class_weights(train.class_counts)
    else:
        found = class_weights(np.bincount(train.labels, minlength=classes).tolist())
    return tf.constant([found.get(i, 1.0) for i in range(classes)])


def _all_callbacks(
    section: TrainSection, chain: Chain, callbacks: Sequence[Any], resume: Resume | None
) -> list[Any]:
    asked_for: list[Any] = []
    if section.ema_momentum is not None:
        asked_for.append(AverageWeights())
    if section.early_stopping_patience is not None:
        asked_for.append(
            StopEarly(
                section.monitor,
                patience=section.early_stopping_patience,
                start_from_epoch=chain.first_epoch(),
            )
        )
    first_epoch = resume.place[0] if resume else 0
    every = [*chain.callbacks(first_epoch), *asked_for, *callbacks]
    if resume is None:
        return every
    return [*every, SaveCheckpoints(resume, every, section.checkpoint_every_steps)]
