"""Random rotation, shift, zoom and shear as one affine map per image, in one op per batch."""

import math

import tensorflow as tf

from pipeline.config import AugmentationSection


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
    return transform(images, matrices, section)


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
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode=section.fill_mode.upper(),
        fill_value=section.fill_value,
    )
