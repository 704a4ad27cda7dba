"""Batches for training and evaluation, from images in memory or in their shards."""

import math
from dataclasses import dataclass

import tensorflow as tf

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.geometric import augment
from pipeline.data.augmentation.mixup import mix
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import Shards

SHUFFLE_BYTES = 64 * 2**20
OPEN_SHARDS = 16
THREADS = 2


@dataclass(frozen=True)
class BatchPlan:
    """Which batches a training run sees.

    Attributes:
        num_classes: width of the one-hot targets.
        seed: decides order and augmentation, together with epoch and position.
        epochs: number of the epoch to stop before.
        first_epoch: epoch to begin with, for a run that goes on.
        first_step: batch of that epoch to begin with.
    """

    num_classes: int
    batch_size: int
    seed: int
    epochs: int
    first_epoch: int = 0
    first_step: int = 0

    def first_step_of(self, epoch: tf.Tensor) -> tf.Tensor:
        """Which batch of this epoch comes first."""
        return tf.where(epoch == self.first_epoch, tf.constant(self.first_step, tf.int64), 0)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches in one pass over `count` images, a smaller last one included."""
    return math.ceil(count / batch_size)


def training_batches(
    data: LabelledImages | Shards, augmentation: AugmentationSection, plan: BatchPlan
) -> tf.data.Dataset:
    """All batches of all epochs in a row, each epoch in an order of its own.

    Returns:
        Pairs of images, float32 (batch, height, width, channels), 0..255, and targets, float32
        (batch, num_classes): one-hot, or of two classes where images are mixed. The same plan
        always gives the same batches.
    """
    drawn = _from_shards(data, plan) if isinstance(data, Shards) else _from_memory(data, plan)

    def batch(
        epoch: tf.Tensor, start: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.random.fold_in([plan.seed, epoch], start, alg="philox")
        pixels = tf.cast(images, tf.float32)
        targets = tf.one_hot(labels, plan.num_classes)
        return mix(augment(pixels, augmentation, seed), targets, augmentation, seed)

    return _prefetched(drawn.map(batch, num_parallel_calls=THREADS))


def _from_memory(data: LabelledImages, plan: BatchPlan) -> tf.data.Dataset:
    """Epoch, position of the first image, images and labels of each batch."""
    images, labels = _on_cpu(data)

    def positions(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(data)), seed=[plan.seed, epoch], alg="philox"
        )
        first = plan.first_step_of(epoch) * plan.batch_size
        starts = tf.data.Dataset.range(first, len(data), plan.batch_size)
        return starts.map(lambda start: (epoch, start, order[start : start + plan.batch_size]))

    def gather(epoch: tf.Tensor, start: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return epoch, start, tf.gather(images, indices), tf.gather(labels, indices)

    epochs = tf.data.Dataset.range(plan.first_epoch, plan.epochs)
    return epochs.flat_map(positions).map(gather)


def _from_shards(data: Shards, plan: BatchPlan) -> tf.data.Dataset:
    """The same of images that ingest had mixed, shuffled again block by block."""
    paths = tf.constant(data.paths)
    block_size = max(plan.batch_size, SHUFFLE_BYTES // math.prod(data.image_shape))

    def shuffled(epoch: tf.Tensor, values: tf.Tensor, purpose: tf.Tensor | int) -> tf.Tensor:
        seed = tf.random.fold_in([plan.seed, epoch], purpose, alg="philox")
        return tf.random.experimental.stateless_shuffle(values, seed, alg="philox")

    def records(epoch: tf.Tensor) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices(shuffled(epoch, paths, -1))
        blocks = files.interleave(tf.data.TFRecordDataset, OPEN_SHARDS).batch(block_size)
        mixed = blocks.enumerate().map(lambda number, block: shuffled(epoch, block, number))
        starts = tf.data.Dataset.range(0, len(data), plan.batch_size)
        batches = mixed.unbatch().batch(plan.batch_size)
        placed = tf.data.Dataset.zip(starts, batches).skip(plan.first_step_of(epoch))
        return placed.map(lambda start, found: (epoch, start, found))

    def parse(epoch: tf.Tensor, start: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return epoch, start, *data.parse(found)

    epochs = tf.data.Dataset.range(plan.first_epoch, plan.epochs)
    return epochs.flat_map(records).map(parse)


def evaluation_batches(
    data: LabelledImages | Shards, num_classes: int, batch_size: int
) -> tf.data.Dataset:
    """One pass in order, as pairs like those of `training_batches`."""

    def pair(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(images, tf.float32), tf.one_hot(labels, num_classes)

    if isinstance(data, Shards):
        records = tf.data.TFRecordDataset(data.paths).batch(batch_size)
        counted = tf.data.experimental.assert_cardinality(steps_per_epoch(len(data), batch_size))
        return _prefetched(records.map(data.parse).map(pair).apply(counted))
    images, labels = _on_cpu(data)

    def part(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = slice(start, start + batch_size)
        return pair(images[chosen], labels[chosen])

    return _prefetched(tf.data.Dataset.range(0, len(data), batch_size).map(part))


def _on_cpu(data: LabelledImages) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device("CPU:0"):
        return tf.constant(data.images), tf.constant(data.labels)


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares batches on threads of its own: on two cores faster than a shared pool."""
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = THREADS
    return batches.with_options(options).prefetch(2)
