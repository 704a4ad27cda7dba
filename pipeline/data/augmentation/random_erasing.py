"""Random erasing: a rectangle of an image is hidden (Zhong et al., 2017, arXiv:1708.04896)."""

import math

import tensorflow as tf

from pipeline.config.augmentation import AugmentationSection
from pipeline.data.augmentation.random import Purpose, of_each, uniform

LARGEST_ASPECT = 1 / 0.3


def erase(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """Hides a random rectangle of some images.

    Args:
        images: float32 (batch, height, width, channels), 0..255.
        section: how often, how much and behind what.
        seed: int64 (2,).
    """
    count, size = tf.shape(images)[0], images.shape[1:3]
    chance, area, aspect, top, left = tf.unstack(uniform(seed, Purpose.ERASING, (5, count)))
    low, high = section.erasing_area
    sides = rectangle(size, low + (high - low) * area, 2.0 * aspect - 1.0)
    corner = [
        tf.floor(share * (whole - side + 1.0))
        for share, whole, side in zip((top, left), size, sides, strict=True)
    ]
    hidden = inside(size, corner, sides) & of_each(chance < section.erasing_probability)
    if section.erasing_fill == "constant":
        return tf.where(hidden, section.fill_value, images)
    noise = uniform(seed, Purpose.ERASING_FILL, tf.shape(images), 0.0, 255.0)
    return tf.where(hidden, noise, images)


def rectangle(
    size: tuple[int, int], area: tf.Tensor, aspect: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The sides of rectangles that cover a share of the image and fit into it.

    The paper draws anew until a rectangle fits; here the aspect's range narrows instead to what
    fits, so that one draw is enough.

    Args:
        size: height and width in pixels.
        area: share of the image: float32 (batch,).
        aspect: -1 for the widest that may be, 0 for the image's shape, 1 for the tallest:
            float32 (batch,).

    Returns:
        Heights and widths, whole pixels from 1 on: float32 (batch,) each.
    """
    widest = tf.minimum(math.log(LARGEST_ASPECT), -tf.math.log(area))
    stretch = tf.exp(0.5 * aspect * widest)
    shares = tf.sqrt(area) * stretch, tf.sqrt(area) / stretch
    height, width = (
        tf.clip_by_value(tf.round(whole * share), 1.0, float(whole))
        for whole, share in zip(size, shares, strict=True)
    )
    return height, width


def inside(
    size: tuple[int, int], corner: list[tf.Tensor], sides: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Which pixels each rectangle covers: bool (batch, height, width, 1)."""
    rows, columns = (
        (start[:, None] <= place) & (place < (start + side)[:, None])
        for start, side, place in zip(
            corner, sides, (tf.range(length, dtype=tf.float32) for length in size), strict=True
        )
    )
    return rows[:, :, None, None] & columns[:, None, :, None]
