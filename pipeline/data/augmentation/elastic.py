"""Elastic deformation (Simard, Steinkraus and Platt, 2003), within the affine map's resampling."""

import math

import tensorflow as tf

from pipeline.config.augmentation import AugmentationSection
from pipeline.data.augmentation.random import Purpose, uniform


def random_field(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """How far each pixel is displaced: float32 (batch, 2, height, width), pixels in x and y."""
    height, width = images.shape[1:3]
    noise = uniform(seed, Purpose.ELASTIC, (tf.shape(images)[0], 2, height, width), -1.0, 1.0)
    return section.elastic_alpha * smooth(noise, section.elastic_sigma)


def smooth(noise: tf.Tensor, sigma: float) -> tf.Tensor:
    """Convolves with a Gaussian, zeros beyond the edge: float32 (batch, 2, height, width)."""
    down, across = (_weights(size, sigma) for size in noise.shape[2:])
    return tf.matmul(tf.matmul(down, noise), across)


def _weights(size: int, sigma: float) -> tf.Tensor:
    """The Gaussian of each two pixels' distance: float32 (size, size), symmetric."""
    place = tf.range(size, dtype=tf.float32)
    density = tf.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    return density / (sigma * math.sqrt(2 * math.pi))


def warp(
    images: tf.Tensor, matrices: tf.Tensor, field: tf.Tensor, section: AugmentationSection
) -> tf.Tensor:
    """Samples each image at M (p + d(p)) for each pixel p: the affine change, then the field.

    Args:
        images: float32 (batch, height, width, channels).
        matrices: M, float32 (batch, 6), from changed to original pixels, as `inverse_affine`
            gives them.
        field: d, float32 (batch, 2, height, width).
        section: says what lies beyond an image's edge.
    """
    height, width = images.shape[1:3]
    x = tf.range(width, dtype=tf.float32) + field[:, 0]
    y = tf.range(height, dtype=tf.float32)[:, None] + field[:, 1]
    m = tf.unstack(matrices[:, :, None, None], axis=1)
    return sample(images, m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5], section)


def sample(
    images: tf.Tensor, x: tf.Tensor, y: tf.Tensor, section: AugmentationSection
) -> tf.Tensor:
    """Reads each image at places between its pixels, bilinear.

    Args:
        images: float32 (batch, height, width, channels).
        x: pixels from the left: float32 (batch, height, width).
        y: pixels from the top: float32 (batch, height, width).
        section: says what lies beyond an image's edge.
    """
    height, width = images.shape[1:3]
    x, y = _folded(x, width, section.fill_mode), _folded(y, height, section.fill_mode)
    left = tf.clip_by_value(tf.floor(x), -1.0, width - 1.0)
    top = tf.clip_by_value(tf.floor(y), -1.0, height - 1.0)
    across, down = (x - left)[..., None], (y - top)[..., None]
    places = tf.cast((top + 1.0) * (width + 1.0) + left + 1.0, tf.int32)
    corners = tf.gather(_corners(images, section), places, batch_dims=1)
    upper_left, upper_right, lower_left, lower_right = tf.split(corners, 4, axis=-1)
    upper = upper_left + across * (upper_right - upper_left)
    lower = lower_left + across * (lower_right - lower_left)
    return tf.clip_by_value(upper + down * (lower - upper), 0.0, 255.0)


def _folded(place: tf.Tensor, size: int, fill_mode: str) -> tf.Tensor:
    """The place, no further than a pixel beyond the ends, that stands for one anywhere."""
    if fill_mode == "wrap":
        return tf.math.floormod(place, float(size))
    if fill_mode == "reflect":
        turned = tf.math.floormod(place + 0.5, 2.0 * size)
        return tf.minimum(turned, 2.0 * size - turned) - 0.5
    return tf.clip_by_value(place, -1.0, float(size))


def _corners(images: tf.Tensor, section: AugmentationSection) -> tf.Tensor:
    """Each pixel and its neighbours to the right, below and both, from one beyond the edge on.

    They stand together because one gather of four values is quicker than four of one.

    Returns:
        float32 (batch, (height + 1) * (width + 1), 4 * channels).
    """
    framed = _framed(images, section)
    height, width, channels = framed.shape[1:]
    parts = [
        framed[:, row : height - 1 + row, column : width - 1 + column]
        for row in (0, 1)
        for column in (0, 1)
    ]
    return tf.reshape(tf.concat(parts, axis=-1), (-1, (height - 1) * (width - 1), 4 * channels))


def _framed(images: tf.Tensor, section: AugmentationSection) -> tf.Tensor:
    """The images with the first pixels that lie beyond their edges."""
    if section.fill_mode == "wrap":
        tall = tf.concat([images[:, -1:], images, images[:, :1]], axis=1)
        return tf.concat([tall[:, :, -1:], tall, tall[:, :, :1]], axis=2)
    edges = [[0, 0], [1, 1], [1, 1], [0, 0]]
    if section.fill_mode == "constant":
        return tf.pad(images, edges, constant_values=section.fill_value)
    return tf.pad(images, edges, "SYMMETRIC")
