"""Random changes of training images, batch by batch.

Flips, zoom, shear, rotation, shift and elastic deformation are one map per image, sampled once.
"""

import math

import tensorflow as tf

from pipeline.config.augmentation import AugmentationSection
from pipeline.data.augmentation.elastic import random_field, warp
from pipeline.data.augmentation.paper import put_on_paper, stretch
from pipeline.data.augmentation.photometric import change_values
from pipeline.data.augmentation.random import Purpose, uniform
from pipeline.data.augmentation.random_erasing import erase


def augment(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """Changes each image at random; the same seed gives the same changes.

    Args:
        images: float32 (batch, height, width, channels), 0..255.
        section: how far each change may go, either way.
        seed: int64 (2,).

    Returns:
        Images like `images`.
    """
    if not section.is_enabled:
        return images
    if section.moves_pixels:
        images = move(images, section, seed)
    if section.paper.probability:
        images = put_on_paper(images, section.paper, seed)
    if section.changes_values:
        images = change_values(images, section, seed)
    if section.erasing_probability:
        images = erase(images, section, seed)
    if section.paper.probability:
        images = stretch(images, section.paper)
    return images


def move(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """The part of `augment` that moves pixels: flips, affine map, elastic deformation."""
    matrices = _random_maps(images, section, seed)
    if not section.elastic_alpha:
        return transform(images, matrices, section)
    return warp(images, matrices, random_field(images, section, seed), section)


def _random_maps(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    height, width = images.shape[1:3]
    turn, shift_y, shift_x, zoom, shear = tf.unstack(
        tf.random.stateless_uniform((5, tf.shape(images)[0]), seed, -1.0, 1.0, alg="philox")
    )
    matrices = inverse_affine(
        (height, width),
        rotation=turn * math.radians(section.rotation_degrees),
        shift=(shift_y * section.shift_fraction * height, shift_x * section.shift_fraction * width),
        zoom=1.0 + zoom * section.zoom_fraction,
        shear=shear * section.shear_fraction,
    )
    if not section.flips:
        return matrices
    across, down = tf.unstack(uniform(seed, Purpose.FLIP, (2, tf.shape(images)[0])))
    return flip_first(
        matrices,
        (height, width),
        horizontal=across < section.horizontal_flip_probability,
        vertical=down < section.vertical_flip_probability,
    )


def inverse_affine(
    size: tuple[int, int],
    *,
    rotation: tf.Tensor,
    shift: tuple[tf.Tensor, tf.Tensor],
    zoom: tf.Tensor,
    shear: tf.Tensor,
) -> tf.Tensor:
    """Where each pixel of a changed image comes from.

    About the image's centre, an image is zoomed, then sheared, then rotated, then shifted. With
    x to the right and y down, p' = R S Z p + t, so p = Z⁻¹ S⁻¹ R⁻¹ (p' - t).

    Args:
        size: height and width in pixels.
        rotation: radians, anticlockwise to the eye: float32 (batch,).
        shift: pixels down and pixels to the right: float32 (batch,) each.
        zoom: size of the content, 1 as it is: float32 (batch,).
        shear: x moves by this share of y: float32 (batch,).

    Returns:
        float32 (batch, 6): rows (x, y) of the 2×3 matrix that takes (x', y', 1) to (x, y).
    """
    cos, sin = tf.cos(rotation), tf.sin(rotation)
    x_by_x, x_by_y = (cos - shear * sin) / zoom, -(sin + shear * cos) / zoom
    y_by_x, y_by_y = sin / zoom, cos / zoom
    centre_y, centre_x = (size[0] - 1) / 2, (size[1] - 1) / 2
    from_y, from_x = centre_y + shift[0], centre_x + shift[1]
    x_offset = centre_x - x_by_x * from_x - x_by_y * from_y
    y_offset = centre_y - y_by_x * from_x - y_by_y * from_y
    return tf.stack([x_by_x, x_by_y, x_offset, y_by_x, y_by_y, y_offset], axis=1)


def flip_first(
    matrices: tf.Tensor, size: tuple[int, int], *, horizontal: tf.Tensor, vertical: tf.Tensor
) -> tf.Tensor:
    """Mirrors some images before all else: their pixels come from the other side.

    Args:
        matrices: float32 (batch, 6), as `inverse_affine` gives them.
        size: height and width in pixels.
        horizontal: whether left and right change places: bool (batch,).
        vertical: whether top and bottom change places: bool (batch,).
    """
    x_row, y_row = matrices[:, :3], matrices[:, 3:]
    other_x = tf.constant([0.0, 0.0, size[1] - 1]) - x_row
    other_y = tf.constant([0.0, 0.0, size[0] - 1]) - y_row
    rows = (
        tf.where(horizontal[:, None], other_x, x_row),
        tf.where(vertical[:, None], other_y, y_row),
    )
    return tf.concat(rows, axis=1)


def transform(images: tf.Tensor, matrices: tf.Tensor, section: AugmentationSection) -> tf.Tensor:
    """Samples each image through its inverse map, bilinear between pixels.

    Args:
        images: float32 (batch, height, width, channels).
        matrices: float32 (batch, 6), as `inverse_affine` gives them.
        section: says what lies beyond an image's edge.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.pad(matrices, [[0, 0], [0, 2]]),
        output_shape=images.shape[1:3],
        interpolation="BILINEAR",
        fill_mode=section.fill_mode.upper(),
        fill_value=section.fill_value,
    )
