"""A picture of what augmentation makes of some training images."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipeline.config import AugmentationSection
from pipeline.data.augmentation import augment
from pipeline.sources import LabelledImages

VARIANTS = 7
MOST_ROWS = 10
CELL_INCHES = 0.72
LEFT_INCHES, TOP_INCHES, EDGE_INCHES = 1.1, 0.66, 0.2
GREY = "#57606a"


def draw(
    path: Path,
    data: LabelledImages,
    classes: tuple[str, ...],
    section: AugmentationSection,
    seed: int,
) -> None:
    """Writes a PNG: a row for each of the first classes, the original first, then its variants.

    Args:
        path: the file to write.
        data: training images; the first of each class is shown.
        classes: names, in label order.
        section: the augmentation to show.
        seed: decides the variants.
    """
    labels, firsts = np.unique(data.labels, return_index=True)
    images = data.images[firsts[:MOST_ROWS]]
    names = [classes[label] for label in labels[:MOST_ROWS]]
    mosaic = _mosaic(_with_variants(images, section, seed))
    _figure(mosaic, names, section).savefig(path, dpi=144)


def _with_variants(images: np.ndarray, section: AugmentationSection, seed: int) -> np.ndarray:
    """Each image and its variants: uint8 (images, 1 + variants, height, width, channels)."""
    batch = tf.constant(np.repeat(images, VARIANTS, axis=0), tf.float32)
    changed = augment(batch, section, tf.constant([seed, 0], tf.int64)).numpy()
    variants = changed.round().astype(np.uint8).reshape(-1, VARIANTS, *images.shape[1:])
    return np.concatenate([images[:, None], variants], axis=1)


def _mosaic(grid: np.ndarray) -> np.ndarray:
    """One image of them all, a thin white line between: uint8 (rows, columns, channels)."""
    gap = max(1, grid.shape[2] // 20)
    framed = np.pad(grid, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    rows, columns, height, width, channels = framed.shape
    joined = framed.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    return joined[:-gap, :-gap]


def _figure(mosaic: np.ndarray, names: list[str], section: AugmentationSection) -> Figure:
    height = len(names) * CELL_INCHES
    width = height * mosaic.shape[1] / mosaic.shape[0]
    page = (LEFT_INCHES + width + EDGE_INCHES, TOP_INCHES + height + EDGE_INCHES)
    figure = Figure(figsize=page, facecolor="white")
    left, bottom = LEFT_INCHES / page[0], EDGE_INCHES / page[1]
    axes = figure.add_axes((left, bottom, width / page[0], height / page[1]))
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    figure.text(left, 1 - 0.14 / page[1], _caption(section), va="top", size=9, color=GREY)
    column = 1 / (1 + VARIANTS)
    for place, title in ((0, "original"), (column, "augmented")):
        axes.text(place, 1.01, title, transform=axes.transAxes, size=9, weight="bold")
    for row, name in enumerate(names):
        middle = 1 - (row + 0.5) / len(names)
        axes.text(-0.015, middle, name, transform=axes.transAxes, ha="right", va="center", size=10)
    return figure


def _caption(section: AugmentationSection) -> str:
    parts = (
        (section.rotation_degrees, f"rotation ±{section.rotation_degrees:g}°"),
        (section.shift_fraction, f"shift ±{section.shift_fraction:.0%}"),
        (section.zoom_fraction, f"zoom ±{section.zoom_fraction:.0%}"),
        (section.shear_fraction, f"shear ±{section.shear_fraction:.0%}"),
    )
    return ", ".join(text for amount, text in parts if amount) or "Augmentation is off."
