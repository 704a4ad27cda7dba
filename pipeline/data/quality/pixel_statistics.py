"""Mean and deviation of pixels by image, class and split, from exact sums of whole numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.data.make_splits import Profiled


def means(part: Profiled) -> np.ndarray:
    """Of each image's channels: float64 (count, channels), 0..255."""
    return part.profile.sums / _pixels(part)


def deviations(part: Profiled) -> np.ndarray:
    """Standard deviation of each image's channels: float64 (count, channels)."""
    variances = part.profile.squares / _pixels(part) - means(part) ** 2
    return np.sqrt(np.maximum(variances, 0))


def by_split_and_class(
    splits: Mapping[str, Profiled], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """For each split, and in it for each class: images, and mean and deviation by channel."""
    return {split: _described(part, classes) for split, part in splits.items()}


def _described(part: Profiled, classes: Sequence[str]) -> dict[str, Any]:
    labels = part.profile.labels
    counts = np.bincount(labels, minlength=len(classes))
    sums, squares = (
        _by_class(f, labels, counts) for f in (part.profile.sums, part.profile.squares)
    )
    rows = zip(classes, counts.tolist(), sums, squares, strict=True)
    return {
        **_summary(len(part), sums.sum(axis=0), squares.sum(axis=0), _pixels(part)),
        "classes": {name: _summary(n, s, q, _pixels(part)) for name, n, s, q in rows},
    }


def _by_class(facts: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of some facts, uint64 (count, channels), over the images of each class."""
    channels = [np.bincount(labels, fact, len(counts)) for fact in facts.T.astype(np.float64)]
    return np.stack(channels, axis=1)


def _summary(images: int, sums: np.ndarray, squares: np.ndarray, pixels: int) -> dict[str, Any]:
    values = max(images * pixels, 1)
    mean = sums / values
    deviation = np.sqrt(np.maximum(squares / values - mean**2, 0))
    return {
        "images": images,
        "mean": [round(value, 2) for value in mean.tolist()],
        "deviation": [round(value, 2) for value in deviation.tolist()],
    }


def _pixels(part: Profiled) -> int:
    height, width, _ = part.images.image_shape
    return height * width
