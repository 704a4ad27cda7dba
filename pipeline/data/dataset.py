"""Batches for training and evaluation, from images held once in memory."""

import math
from dataclasses import dataclass

import tensorflow as tf

from pipeline.config import AugmentationSection
from pipeline.data.augmentation import augment
from pipeline.sources import LabelledImages


@dataclass(frozen=True)
class BatchPlan:
    """Which batches a training run sees.

    Attributes:
        num_classes: width of the one-hot targets.
        seed: decides order and augmentation, together with epoch and position.
        epochs: number of the epoch to stop before.
        first_epoch: epoch to begin with, for a run that goes on.
    """

    num_classes: int
    batch_size: int
    seed: int
    epochs: int
    first_epoch: int = 0


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches in one pass over `count` images, a smaller last one included."""
    return math.ceil(count / batch_size)


def training_batches(
    data: LabelledImages, augmentation: AugmentationSection, plan: BatchPlan
) -> tf.data.Dataset:
    """All batches of all epochs in a row, each epoch in an order of its own.

    Returns:
        Pairs of images, float32 (batch, height, width, channels), 0..255, and one-hot targets,
        float32 (batch, num_classes). The same plan always gives the same batches.
    """
    images, labels = _on_cpu(data)

    def positions(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(data)), seed=[plan.seed, epoch], alg="philox"
        )
        starts = tf.data.Dataset.range(0, len(data), plan.batch_size)
        return starts.map(lambda start: (epoch, start, order[start : start + plan.batch_size]))

    def batch(
        epoch: tf.Tensor, start: tf.Tensor, indices: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.random.fold_in([plan.seed, epoch], start, alg="philox")
        pixels = tf.cast(tf.gather(images, indices), tf.float32)
        return augment(pixels, augmentation, seed), tf.one_hot(
            tf.gather(labels, indices), plan.num_classes
        )

    epochs = tf.data.Dataset.range(plan.first_epoch, plan.epochs)
    return _prefetched(epochs.flat_map(positions).map(batch))


def evaluation_batches(data: LabelledImages, num_classes: int, batch_size: int) -> tf.data.Dataset:
    """One pass in order, as pairs like those of `training_batches`."""
    images, labels = _on_cpu(data)

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = slice(start, start + batch_size)
        return tf.cast(images[part], tf.float32), tf.one_hot(labels[part], num_classes)

    return _prefetched(tf.data.Dataset.range(0, len(data), batch_size).map(batch))


def _on_cpu(data: LabelledImages) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device("CPU:0"):
        return tf.constant(data.images), tf.constant(data.labels)


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares batches on one thread of its own: on two cores faster than a shared pool."""
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    return batches.with_options(options).prefetch(2)
