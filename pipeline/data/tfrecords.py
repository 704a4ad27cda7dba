"""TFRecord shards of labelled images: raw pixels and a label in each `tf.train.Example`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.core.errors import StageError
from pipeline.data import dataset_json
from pipeline.data.images.types import LabelledImages, Split
from pipeline.data.sharding import count_shards

READ_BATCH_SIZE = 1024
FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.int64),
}


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


@dataclass(frozen=True)
class Shards:
    """A split in its files.

    Attributes:
        folder: the ingest artifact.
        split: its name.
        image_shape: height, width and channels.
        class_counts: images of each class, in label order.
    """

    folder: Path
    split: str
    image_shape: tuple[int, int, int]
    class_counts: tuple[int, ...]

    @property
    def paths(self) -> list[str]:
        """The files in order."""
        return sorted(map(str, self.folder.glob(f"{self.split}-*.tfrecord")))

    @property
    def size_bytes(self) -> int:
        """What the images take in memory."""
        return len(self) * math.prod(self.image_shape)

    def __len__(self) -> int:
        return sum(self.class_counts)

    def parse(self, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Images, uint8 (batch, height, width, channels), and labels, int64 (batch,)."""
        batch = tf.io.parse_example(records, FEATURES)
        pixels = tf.io.decode_raw(batch["image"], tf.uint8)
        return tf.reshape(pixels, (-1, *self.image_shape)), batch["label"]

    def labels(self) -> np.ndarray:
        """The class of each image, in the order that they were written: int64 (count,)."""
        whole = np.empty(len(self), np.int64)
        for start, _, labels in self._batches():
            whole[start : start + len(labels)] = labels
        return whole

    def read(self, indices: np.ndarray | None = None) -> LabelledImages:
        """Images in the order that they were written.

        Args:
            indices: which, int64 (selected,), rising; all where None.

        Raises:
            StageError: the files do not hold what `dataset.json` says.
        """
        wanted = np.arange(len(self)) if indices is None else indices
        images = np.empty((len(wanted), *self.image_shape), np.uint8)
        labels = np.empty(len(wanted), np.int64)
        for start, found, classes in self._batches():
            first, last = np.searchsorted(wanted, (start, start + len(classes)))
            images[first:last] = found[wanted[first:last] - start]
            labels[first:last] = classes[wanted[first:last] - start]
        return LabelledImages(images, labels)

    def _batches(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The place of the first image of a batch, its images and its labels."""
        start = 0
        for records in tf.data.TFRecordDataset(self.paths).batch(READ_BATCH_SIZE):
            images, labels = (tensor.numpy() for tensor in self.parse(records))
            if start + len(labels) > len(self):
                raise self._miscounted()
            yield start, images, labels
            start += len(labels)
        if start != len(self):
            raise self._miscounted()

    def _miscounted(self) -> StageError:
        return StageError(
            f"{self.folder}: its shards do not hold the {len(self):,} {self.split} images of "
            f"{dataset_json.FILE_NAME}. Run again with --force ingest."
        )


def open_split(folder: Path, split: str) -> Shards:
    """A split of an ingest artifact, of which nothing is read yet."""
    described = dataset_json.read(folder)
    return Shards(folder, split, described.image_shape, described.counts[split])


def read_split(folder: Path, split: str) -> LabelledImages:
    """All images of a split, in the order that they were written.

    Raises:
        StageError: the shards do not hold what `dataset.json` says.
    """
    return open_split(folder, split).read()
