"""Optional cleaning of images: noise, and images that stand there twice."""

import numpy as np
from scipy import ndimage


def median_filter(images: np.ndarray, size: int) -> np.ndarray:
    """Replaces each value by the median of the square round it, channel by channel.

    Args:
        images: uint8 (count, height, width, channels); mirrored beyond the edges.
        size: side of the square in pixels.
    """
    return ndimage.median_filter(images, size=(1, size, size, 1))


def unique_indices(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Indices of the first of each group and label: int64, rising.

    Args:
        groups: int64 (count,), a number for each image that equal ones share.
        labels: int64 (count,).
    """
    keys = groups * (labels.max(initial=0) + 1) + labels
    return np.sort(np.unique(keys, return_index=True)[1])


def not_in(groups: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Indices of the images of `groups` that are in none of `others`: int64, rising."""
    return np.flatnonzero(~np.isin(groups, others))
