"""What the checks need to know of each image, so that no image is read twice for them."""

import hashlib
from dataclasses import dataclass, fields

import numpy as np

from pipeline.data.images.types import Split

BATCH_BYTES = 2**23
THUMBNAIL = 16


@dataclass(frozen=True)
class Profile:
    """Facts on the images of a split, one entry an image.

    Attributes:
        labels: int64 (count,), each an index into the classes.
        digests: bytes (count,), 16 of the SHA-256 of the pixels; equal images have equal ones.
        thumbnails: uint8 (count, 16, 16), grey.
        sums: uint64 (count, channels), of the pixel values.
        squares: uint64 (count, channels), sums of their squares.
        highest: uint8 (count,), the highest pixel value in any channel.
    """

    labels: np.ndarray
    digests: np.ndarray
    thumbnails: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    highest: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: np.ndarray) -> "Profile":
        """The entries at `indices`, int64 (selected,), in their order."""
        return Profile(*(getattr(self, field.name)[indices] for field in fields(self)))


def profile(split: Split) -> Profile:
    """Reads all images once, some at a time."""
    size = max(1, BATCH_BYTES // int(np.prod(split.image_shape)))
    facts = [_facts(batch.images) for batch in split.batches(size)]
    return Profile(split.labels, *(np.concatenate(parts) for parts in zip(*facts, strict=True)))


def _facts(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """All attributes of `Profile` but the labels, in order, of some images."""
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return (
        np.array([hashlib.sha256(image.data).digest()[:16] for image in flat], "S16"),
        thumbnails(images),
        *_sums(images),
        flat.max(axis=1),
    )


def _sums(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the values and of their squares: uint64 (count, channels) each.

    Floats are quicker than integers here, and as exact while the sum of a column is a whole number
    that they can hold.
    """
    count, height, width, channels = images.shape
    exact = np.float32 if height * 255**2 < 2**24 else np.float64
    values = images.reshape(count, height, width * channels).astype(exact)
    down = np.ones((1, height), exact)
    columns = ((down @ part).reshape(count, width, channels) for part in (values, values**2))
    sums, squares = (part.sum(axis=1, dtype=np.float64).astype(np.uint64) for part in columns)
    return sums, squares


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Grey 16×16 pictures, each pixel the mean of the area that it covers.

    Args:
        images: uint8 (count, height, width, channels).

    Returns:
        uint8 (count, 16, 16).
    """
    down, across = (_shares(size) for size in images.shape[1:3])
    is_grey = images.shape[3] == 1
    grey = images[..., 0].astype(np.float32) if is_grey else images.mean(axis=3, dtype=np.float32)
    return np.rint(down @ grey @ across.T).astype(np.uint8)


def _shares(size: int) -> np.ndarray:
    """The share that each of `size` pixels has in each of the fewer: float32 (16, size)."""
    edges = np.linspace(0, size, THUMBNAIL + 1)
    starts, ends = (
        np.maximum.outer(edges[:-1], np.arange(size)),
        np.minimum.outer(edges[1:], np.arange(size) + 1),
    )
    return (np.clip(ends - starts, 0, None) * THUMBNAIL / size).astype(np.float32)
