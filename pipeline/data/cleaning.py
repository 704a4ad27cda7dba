"""Optional cleaning of images before they are split: noise, and images that stand there twice."""

import hashlib
from collections import defaultdict

import numpy as np
from scipy import ndimage

from pipeline.sources import LabelledImages


def median_filter(images: np.ndarray, size: int) -> np.ndarray:
    """Replaces each value by the median of the square round it, channel by channel.

    Args:
        images: uint8 (count, height, width, channels); mirrored beyond the edges.
        size: side of the square in pixels.
    """
    return ndimage.median_filter(images, size=(1, size, size, 1))


def unique_indices(data: LabelledImages) -> np.ndarray:
    """Indices of the first of each set of equal images with equal labels: int64, rising."""
    keys = [(image.tobytes(), label) for image, label in _pairs(data)]
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    return np.array(sorted(first.values()), np.int64)


def count_conflicts(data: LabelledImages) -> int:
    """Counts the images that stand in the split under more than one label."""
    labels = defaultdict(set)
    for image, label in _pairs(data):
        labels[image.tobytes()].add(label)
    return sum(len(labels[image.tobytes()]) > 1 for image in data.images)


def count_leaked(train: LabelledImages, test: LabelledImages) -> int:
    """Counts the training images that also stand in the test split, whatever their label."""
    known = {_digest(image) for image in test.images}
    return sum(_digest(image) in known for image in train.images)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def _pairs(data: LabelledImages) -> "zip[tuple[np.ndarray, int]]":
    return zip(data.images, data.labels.tolist(), strict=True)
