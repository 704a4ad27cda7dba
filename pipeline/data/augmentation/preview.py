"""A picture of what augmentation makes of some training images."""

import math
import textwrap
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.geometric import augment
from pipeline.data.augmentation.mixup import mix
from pipeline.data.images.types import LabelledImages

VARIANTS = 7
MOST_ROWS = 10
MOST_VALUES = 2**23
CELL_INCHES = 0.72
TITLE_INCHES, EDGE_INCHES, LETTER_INCHES = 0.4, 0.2, 0.1
CAPTION_LETTERS, LINE_INCHES = 76, 0.16
GREY = "#57606a"


def shown_indices(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which training images to show: the first of each of the first classes, fewer if large.

    Args:
        labels: int64 (count,).
        shape: height, width and channels.
    """
    rows = MOST_VALUES // (math.prod(shape) * (1 + VARIANTS))
    return np.unique(labels, return_index=True)[1][: min(max(1, rows), MOST_ROWS)]


def draw(
    path: Path,
    data: LabelledImages,
    classes: tuple[str, ...],
    section: AugmentationSection,
    seed: int,
) -> None:
    """Writes a PNG: a row for each image, the original first, then its variants.

    Args:
        path: the file to write.
        data: the images to show.
        classes: names, in label order.
        section: the augmentation to show.
        seed: decides the variants.
    """
    names = [classes[label] for label in data.labels]
    mosaic = _mosaic(_with_variants(data.images, section, seed))
    figure = _figure(mosaic, names, _caption(section))
    with warnings.catch_warnings():  # a name in letters that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(path, dpi=144)


def _with_variants(images: np.ndarray, section: AugmentationSection, seed: int) -> np.ndarray:
    """Each image and its variants, mixed with those of all: uint8 (images, 1 + variants, …)."""
    batch = tf.constant(np.tile(images, (VARIANTS, 1, 1, 1)), tf.float32)
    start = tf.constant([seed, 0], tf.int64)
    rows = tf.eye(len(images) * VARIANTS)
    changed, _ = mix(augment(batch, section, start), rows, section, start)
    variants = changed.numpy().round().astype(np.uint8).reshape(VARIANTS, *images.shape)
    return np.concatenate([images[None], variants]).swapaxes(0, 1)


def _mosaic(grid: np.ndarray) -> np.ndarray:
    """One image of them all, white lines between: uint8 (rows, columns, channels)."""
    gap = max(1, grid.shape[2] // 20)
    originals, variants = (_joined(part, gap) for part in (grid[:, :1], grid[:, 1:]))
    margin = np.full_like(originals[:, : 2 * gap], 255)
    return np.concatenate([originals, margin, variants], axis=1)[:-gap, :-gap]


def _joined(grid: np.ndarray, gap: int) -> np.ndarray:
    framed = np.pad(grid, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    rows, columns, height, width, channels = framed.shape
    return framed.swapaxes(1, 2).reshape(rows * height, columns * width, channels)


def _figure(mosaic: np.ndarray, names: list[str], caption: str) -> Figure:
    height = len(names) * CELL_INCHES
    width = height * mosaic.shape[1] / mosaic.shape[0]
    left = EDGE_INCHES + LETTER_INCHES * max(len(name) for name in names)
    title = TITLE_INCHES + LINE_INCHES * caption.count("\n")
    page = (left + width + EDGE_INCHES, title + height + EDGE_INCHES)
    figure = Figure(figsize=page, facecolor="white")
    box = (left / page[0], EDGE_INCHES / page[1], width / page[0], height / page[1])
    axes = figure.add_axes(box)
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()
    cell = mosaic.shape[1] / (1 + VARIANTS)
    above = -0.1 * cell
    axes.text(0, above, "original", size=9, color=GREY)
    axes.text(1.05 * cell, above, caption, size=9, color=GREY)
    for row, name in enumerate(names):
        middle = mosaic.shape[0] * (row + 0.5) / len(names)
        axes.text(above, middle, name, ha="right", va="center", size=10, parse_math=False)
    return figure


def _caption(section: AugmentationSection) -> str:
    if not section.is_enabled:
        return "augmentation is off"
    area = "–".join(f"{share:.0%}" for share in section.erasing_area)
    parts = (
        (section.rotation_degrees, f"rotation ±{section.rotation_degrees:g}°"),
        (section.shift_fraction, f"shift ±{section.shift_fraction:.0%}"),
        (section.zoom_fraction, f"zoom ±{section.zoom_fraction:.0%}"),
        (section.shear_fraction, f"shear ±{section.shear_fraction:.0%}"),
        (section.horizontal_flip_probability, "flipped left–right"),
        (section.vertical_flip_probability, "flipped up–down"),
        (section.elastic_alpha, f"elastic {section.elastic_alpha:g}/{section.elastic_sigma:g}"),
        (section.invert_probability, "inverted"),
        (section.contrast_fraction, f"contrast ±{section.contrast_fraction:.0%}"),
        (section.brightness_fraction, f"brightness ±{section.brightness_fraction:.0%}"),
        (section.blur_sigma, f"blur ≤{section.blur_sigma:g}"),
        (section.noise_stddev, f"noise ≤{section.noise_stddev:g}"),
        (section.paper.probability, f"on paper {section.paper.probability:.0%}"),
        (section.erasing_probability, f"erased {area}"),
        (section.mixes_images and section.mixup_alpha, f"mixup {section.mixup_alpha:g}"),
        (section.mixes_images and section.cutmix_alpha, f"cutmix {section.cutmix_alpha:g}"),
        (section.mixes_images, "labels mixed alike"),
    )
    words = "augmented: " + ", ".join(text for amount, text in parts if amount)
    return textwrap.fill(words, CAPTION_LETTERS)
