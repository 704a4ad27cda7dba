"""Finds images that are equal, or equal but for compression, scale or brightness.

Each image has a perceptual hash of 64 bits: the signs of the lowest frequencies of its thumbnail's
discrete cosine transform. Near duplicates differ in few bits, so that in some rotation of the bits
they stand close to each other in sorted order; only neighbours are compared. The work grows as
n log n, however many images are alike.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.data.image_statistics import THUMBNAIL

BITS = 64
ROTATIONS = range(0, BITS, 8)
WINDOW = 4
MOST_FLIPPED_BITS = 6
LOWEST = 16
"""Frequencies whose distance is computed before that of whole thumbnails; it is never larger."""
ROUNDING = 0.5
"""Grey levels by which the thumbnails of two like images may differ however alike they are."""
LEAST_DEVIATION = 4.0
"""Grey levels; what is flatter has too little in it to be told apart from other flat images."""
LARGEST_MEAN_SHIFT = 20.0
LARGEST_COLOUR_SHIFT = 8.0
"""Grey levels by which the mean of a channel may shift further than that of all channels."""
LARGEST_CONTRAST_RATIO = 1.12
CONFIRMED_AT_ONCE = 2**13
MOST_PARTS = 100


def equal_groups(digests: np.ndarray) -> np.ndarray:
    """Which images are equal.

    Args:
        digests: bytes (count,), 16 each.

    Returns:
        int64 (count,): for each image the index of the first that equals it.
    """
    halves = np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    ordered = halves[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(is_new)
    firsts = np.empty(len(order), np.int64)
    # lexsort is stable: of equal images the first comes first.
    firsts[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    return firsts


def alike_groups(
    equal: np.ndarray, thumbnails: np.ndarray, colours: np.ndarray, similarity: float
) -> np.ndarray:
    """Which images are equal or near duplicates.

    Args:
        equal: int64 (count,), what `equal_groups` gave.
        thumbnails: uint8 (count, 16, 16).
        colours: float64 (count, channels), means of the pixels.
        similarity: least correlation of the thumbnails of near duplicates; 1 for none.

    Returns:
        int64 (count,): for each image the index of the first of its group, which it is like.
    """
    if similarity >= 1:
        return equal
    distinct = np.flatnonzero(equal == np.arange(len(equal)))
    groups = np.arange(len(equal))
    joined = _near_groups(thumbnails[distinct], colours[distinct], similarity)
    groups[distinct] = distinct[joined]
    return groups[equal]


def _near_groups(thumbnails: np.ndarray, colours: np.ndarray, similarity: float) -> np.ndarray:
    """For each of some different images, the index of the first of its near duplicates."""
    frequencies, deviations = _frequencies(thumbnails)
    busy = np.flatnonzero(deviations >= LEAST_DEVIATION)
    hashes = np.packbits(frequencies[busy] > 0, axis=1).view(">u8")[:, 0].astype(np.uint64)
    lowest = frequencies[:, :LOWEST] / np.maximum(deviations, 1)[:, None]
    groups = np.arange(len(thumbnails))
    for neighbours in _neighbours(hashes):
        pairs = busy[neighbours]
        pairs = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]
        offs = lowest[pairs[:, 0]] - lowest[pairs[:, 1]]
        distances = np.einsum("pf,pf->p", offs, offs) / THUMBNAIL**2
        pairs = pairs[distances <= 2 * _largest_difference(deviations, pairs, similarity)]
        pairs = pairs[_are_of_one_colour(colours, pairs)]
        groups = _join(groups, pairs[confirmed(thumbnails, pairs, similarity)])
    return _round_their_firsts(groups, thumbnails, colours, similarity)


def _round_their_firsts(
    groups: np.ndarray, thumbnails: np.ndarray, colours: np.ndarray, similarity: float
) -> np.ndarray:
    """Parts groups until each member is like the first of its own: chains lead from like to unlike.

    What a group of too many kinds still holds in the end stands alone.
    """
    parted = np.arange(len(groups))
    left = np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] > 1)
    for _ in range(MOST_PARTS):
        if not len(left):
            break
        _, firsts, of = np.unique(groups[left], return_index=True, return_inverse=True)
        pairs = np.stack([left[firsts][of], left], axis=1)
        is_like = _are_of_one_colour(colours, pairs) & confirmed(thumbnails, pairs, similarity)
        parted[left[is_like]] = pairs[is_like, 0]
        left = left[~is_like]
    return parted


def _join(groups: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The groups when those of each of `pairs` are one; each is named by its lowest member."""
    names, ends = np.unique(groups[pairs], return_inverse=True)
    ends = ends.reshape(-1, 2)
    links = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (len(names),) * 2)
    component = connected_components(links, directed=False)[1]
    renamed = np.arange(len(groups))
    renamed[names] = names[np.unique(component, return_index=True)[1]][component]
    return renamed[groups]


def _are_of_one_colour(colours: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    shifts = colours[pairs[:, 0]] - colours[pairs[:, 1]]
    return abs(shifts - shifts.mean(axis=1, keepdims=True)).max(axis=1) <= LARGEST_COLOUR_SHIFT


def _frequencies(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest frequencies, float32 (count, 64), and the deviation of the grey levels."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    size = flat.shape[1]
    squares = np.einsum("np,np->n", flat, flat) / size
    means = flat.sum(axis=1) / size
    return flat @ _basis(), np.sqrt(np.maximum(squares - means**2, 0))


@cache
def _basis() -> np.ndarray:
    """The cosine transform's first `BITS` frequencies without the mean: float32 (256, 64)."""
    rows = dct(np.eye(THUMBNAIL), axis=0, norm="ortho")
    places = [(u, v) for u in range(THUMBNAIL) for v in range(THUMBNAIL) if u + v]
    places.sort(key=lambda place: (sum(place), max(place), place))
    waves = [np.outer(rows[u], rows[v]).ravel() for u, v in places[:BITS]]
    return np.stack(waves, axis=1).astype(np.float32)


def _neighbours(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs that stand within `WINDOW` in some rotation's order and differ in few bits."""
    for rotation in map(np.uint64, ROTATIONS):
        rotated = (hashes << rotation) | (hashes >> (np.uint64(BITS) - rotation) % np.uint64(BITS))
        order = np.argsort(rotated, kind="stable")
        ordered = hashes[order]
        for apart in range(1, WINDOW + 1):
            flipped = np.bitwise_count(ordered[:-apart] ^ ordered[apart:])
            near = np.flatnonzero(flipped <= MOST_FLIPPED_BITS)
            yield np.stack([order[near], order[near + apart]], axis=1)


def _largest_difference(deviations: np.ndarray, pairs: np.ndarray, similarity: float) -> np.ndarray:
    """How far below 1 a pair's correlation may lie; flat thumbnails are mostly rounding."""
    products = deviations[pairs[:, 0]] * deviations[pairs[:, 1]]
    return 1 - similarity + ROUNDING**2 / (2 * products)


def confirmed(thumbnails: np.ndarray, pairs: np.ndarray, similarity: float) -> np.ndarray:
    """Whether the thumbnails of each pair are near duplicates: bool (pairs,)."""
    parts = [np.empty(0, bool)]
    for start in range(0, len(pairs), CONFIRMED_AT_ONCE):
        both = thumbnails[pairs[start : start + CONFIRMED_AT_ONCE]].astype(np.float32)
        both = both.reshape(*both.shape[:2], -1)
        means = both.mean(axis=2)
        both -= means[..., None]
        deviations = both.std(axis=2)
        places = np.arange(2 * len(both)).reshape(-1, 2)
        allowed = _largest_difference(deviations.ravel(), places, similarity)
        correlation = (both[:, 0] * both[:, 1]).mean(axis=1) / deviations.prod(axis=1)
        contrast = deviations.max(axis=1) / deviations.min(axis=1)
        parts.append(
            (1 - correlation <= allowed)
            & (abs(means[:, 0] - means[:, 1]) <= LARGEST_MEAN_SHIFT)
            & (contrast <= LARGEST_CONTRAST_RATIO)
        )
    return np.concatenate(parts)
