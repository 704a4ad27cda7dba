"""Elastic deformation (Simard, Steinkraus and Platt, 2003), within the affine map's resampling."""

import math

import tensorflow as tf

from pipeline.config_augmentation import AugmentationSection
from pipeline.data.draws import Purpose, uniform


def random_field(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """Where each pixel is displaced to: float32 (batch, height, width, 2), pixels in x and y."""
    shape = tf.concat([tf.shape(images)[:3], [2]], axis=0)
    noise = tf.ensure_shape(
        uniform(seed, Purpose.ELASTIC, shape, -1.0, 1.0), (*images.shape[:3], 2)
    )
    return section.elastic_alpha * smooth(noise, section.elastic_sigma)


def smooth(noise: tf.Tensor, sigma: float) -> tf.Tensor:
    """Convolves with a Gaussian, zeros beyond the edge: float32 (batch, height, width, 2)."""
    down, across = (_weights(size, sigma) for size in noise.shape[1:3])
    return tf.einsum("ij,bjkc,lk->bilc", down, noise, across, optimize="optimal")


def _weights(size: int, sigma: float) -> tf.Tensor:
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
        field: d, float32 (batch, height, width, 2).
        section: says what lies beyond an image's edge.
    """
    height, width = images.shape[1:3]
    x = tf.range(width, dtype=tf.float32) + field[..., 0]
    y = tf.range(height, dtype=tf.float32)[:, None] + field[..., 1]
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
    left, top = tf.floor(x), tf.floor(y)
    upper, lower = (
        _between(
            _pixels(images, left, row, section),
            _pixels(images, left + 1.0, row, section),
            x - left,
        )
        for row in (top, top + 1.0)
    )
    return tf.clip_by_value(_between(upper, lower, y - top), 0.0, 255.0)


def _between(first: tf.Tensor, second: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return first + share[..., None] * (second - first)


def _pixels(
    images: tf.Tensor, x: tf.Tensor, y: tf.Tensor, section: AugmentationSection
) -> tf.Tensor:
    height, width, channels = images.shape[1:]
    column, row = _folded(x, width, section.fill_mode), _folded(y, height, section.fill_mode)
    flat = tf.reshape(images, (-1, height * width, channels))
    found = tf.gather(flat, tf.cast(row * width + column, tf.int32), batch_dims=1)
    if section.fill_mode != "constant":
        return found
    is_inside = (column == x) & (row == y)
    return tf.where(is_inside[..., None], found, section.fill_value)


def _folded(place: tf.Tensor, size: int, fill_mode: str) -> tf.Tensor:
    """The pixel of a line that stands for one beyond its ends."""
    if fill_mode == "wrap":
        return tf.math.floormod(place, float(size))
    if fill_mode == "reflect":
        turned = tf.math.floormod(place, 2.0 * size)
        return tf.minimum(turned, 2.0 * size - 1.0 - turned)
    return tf.clip_by_value(place, 0.0, size - 1.0)
