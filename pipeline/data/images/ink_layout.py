"""Finds out whether training images are ink on an even ground, and how subjects lie in them."""

import numpy as np

from pipeline.data.images.ink import WORK, Layout, above_ground, enlarged, find_subject

DARK_BELOW, LIGHT_ABOVE = 64, 191
EVEN = 32  # grey levels by which an even ground may differ, at its border
SMALLEST = 8  # pixels of a side
THIN = 4  # strokes are thinner than this part of an image's side
LEAST_INK = 0.9  # share of what is no ground that is strokes, where images are ink
LEAST_FOUND = 0.9  # share of the images in which there is a subject


def measure(images: np.ndarray, *, is_ink: bool = False) -> Layout | None:
    """How subjects lie in images of ink; None of images that are something else.

    Args:
        images: uint8 (count, height, width, 1), from 1 image on.
        is_ink: whether somebody says that they are ink; an even ground is asked of them anyway.
    """
    images = images[..., 0]
    count, height, width = images.shape
    ring = np.concatenate([images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], 1)
    level = np.median(ring)
    sides = sorted((height, width))
    if DARK_BELOW <= level <= LIGHT_ABOVE or not SMALLEST <= sides[0] <= sides[1] <= WORK:
        return None
    is_light = bool(level < DARK_BELOW)
    inks = images if is_light else 255 - images
    around = np.percentile(ring if is_light else 255 - ring, 90, axis=1)
    strokes = [
        above_ground(ink, max(height, width) // THIN).sum() / max(1, ink.sum()) for ink in inks
    ]
    if not is_ink and (np.median(around) > EVEN or np.median(strokes) < LEAST_INK):
        return None
    places = np.array([place for ink in inks if (place := _place(ink))])
    if len(places) < LEAST_FOUND * count:
        return None
    longer, by_mass, by_box = places[:, 0], places[:, 1:3], places[:, 3:]
    has_mass = by_mass.var(axis=0).sum() <= by_box.var(axis=0).sum()
    y, x = np.median(by_mass if has_mass else by_box, axis=0)
    return Layout(
        height=height,
        width=width,
        box=max(1, round(float(np.median(longer)))),
        centre="mass" if has_mass else "box",
        middle=(round(2 * y), round(2 * x)),
        is_light=is_light,
    )


def _place(ink: np.ndarray) -> tuple[float, ...] | None:
    """The subject's longer side, its centre of mass and that of its box, in pixels."""
    large = enlarged(ink)
    scale = large.shape[0] / ink.shape[0]
    found = find_subject(above_ground(large, 2 * max(large.shape) // 3), is_far=False)
    if found is None:
        return None
    sides = found.bottom - found.top, found.right - found.left
    twice = (found.twice_y, found.twice_x, found.top + found.bottom, found.left + found.right)
    return (max(sides) / scale, *(place / 2 / scale for place in twice))
