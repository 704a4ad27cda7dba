"""TFRecord shards of labelled images: raw pixels and a label in each `tf.train.Example`."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.data import description
from pipeline.errors import StageError
from pipeline.sources import LabelledImages, Split

SHARD_BYTES = 64 * 2**20
READ_BATCH_SIZE = 1024
FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


def count_shards(data: Split) -> int:
    """How many files a split is written to."""
    return max(1, math.ceil(len(data) * math.prod(data.image_shape) / SHARD_BYTES))


def write_split(
    folder: Path, split: str, data: Split, change: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> None:
    """Writes `<split>-00000-of-0000N.tfrecord`, each of about `SHARD_BYTES` at most.

    Args:
        folder: where to.
        split: its name.
        data: its images.
        change: what to do to some images, uint8 (count, height, width, channels), before.
    """
    shards = count_shards(data)
    for shard, indices in enumerate(np.array_split(np.arange(len(data)), shards)):
        path = folder / f"{split}-{shard:05d}-of-{shards:05d}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for batch in data.select(indices).batches(READ_BATCH_SIZE):
                for record in _records(change(batch.images), batch.labels):
                    writer.write(record)


def _records(images: np.ndarray, labels: np.ndarray) -> Iterator[bytes]:
    example = tf.train.Example()
    image = example.features.feature["image"].bytes_list.value
    label = example.features.feature["label"].int64_list.value
    image.append(b"")
    label.append(0)
    for pixels, index in zip(images, labels.tolist(), strict=True):
        image[0], label[0] = pixels.tobytes(), index
        yield example.SerializeToString(deterministic=True)


def read_split(folder: Path, split: str) -> LabelledImages:
    """All images of a split, in the order that they were written.

    Raises:
        StageError: the shards do not hold what `dataset.json` says.
    """
    described = description.read(folder)
    paths = sorted(str(path) for path in folder.glob(f"{split}-*.tfrecord"))
    images = np.empty((described.size(split), *described.image_shape), np.uint8)
    labels = np.empty(len(images), np.int64)
    filled = 0
    for batch in tf.data.TFRecordDataset(paths).batch(READ_BATCH_SIZE).map(_parse):
        start, filled = filled, filled + len(batch["label"])
        if filled > len(images):
            break
        images[start:filled] = batch["image"].numpy().reshape(-1, *described.image_shape)
        labels[start:filled] = batch["label"].numpy()
    if filled != len(images):
        raise StageError(
            f"{folder}: its shards do not hold the {len(images):,} {split} images of "
            f"{description.FILE_NAME}. Run again with --force ingest."
        )
    return LabelledImages(images, labels)


def _parse(records: tf.Tensor) -> dict[str, tf.Tensor]:
    batch = tf.io.parse_example(records, FEATURES)
    return {"image": tf.io.decode_raw(batch["image"], tf.uint8), "label": batch["label"]}
