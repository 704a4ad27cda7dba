"""Optional cleaning of images: noise, and images that stand there twice."""

import numpy as np
from scipy import ndimage

from pipeline.data.profile import Profile


def median_filter(images: np.ndarray, size: int) -> np.ndarray:
    """Replaces each value by the median of the square round it, channel by channel.

    Args:
        images: uint8 (count, height, width, channels); mirrored beyond the edges.
        size: side of the square in pixels.
    """
    return ndimage.median_filter(images, size=(1, size, size, 1))


def unique_indices(profile: Profile) -> np.ndarray:
    """Indices of the first of each set of equal images with equal labels: int64, rising."""
    keys = np.rec.fromarrays([profile.digests, profile.labels])
    return np.sort(np.unique(keys, return_index=True)[1])


def not_in(profile: Profile, other: Profile) -> np.ndarray:
    """Indices of the images that do not stand in the other, whatever their label: int64, rising."""
    return np.flatnonzero(~np.isin(profile.digests, other.digests))
