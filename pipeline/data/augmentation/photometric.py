"""Random changes of pixels' values: invert, contrast, brightness, blur and noise, in that order.

Images are float32 (batch, height, width, channels), 0..255; amounts are float32 (batch,).
"""

import tensorflow as tf

from pipeline.config.augmentation import AugmentationSection
from pipeline.data.augmentation.random import Purpose, normal, of_each, uniform

SMALLEST_SIGMA = 1e-3


def change_values(images: tf.Tensor, section: AugmentationSection, seed: tf.Tensor) -> tf.Tensor:
    """Changes each image's values at random, within 0..255."""
    count = [tf.shape(images)[0]]
    if section.invert_probability:
        chosen = uniform(seed, Purpose.INVERT, count) < section.invert_probability
        images = invert(images, chosen)
    if section.contrast_fraction:
        most = section.contrast_fraction
        images = contrast(images, 1.0 + uniform(seed, Purpose.CONTRAST, count, -most, most))
    if section.brightness_fraction:
        most = 255 * section.brightness_fraction
        images = brightness(images, uniform(seed, Purpose.BRIGHTNESS, count, -most, most))
    if section.blur_sigma:
        images = blur(images, uniform(seed, Purpose.BLUR, count, 0.0, section.blur_sigma))
    if section.noise_stddev:
        stddev = uniform(seed, Purpose.NOISE_STDDEV, count, 0.0, section.noise_stddev)
        images += of_each(stddev) * normal(seed, Purpose.NOISE, tf.shape(images))
    return tf.clip_by_value(images, 0.0, 255.0)


def invert(images: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Turns dark into bright where `chosen`, bool (batch,), says so."""
    return tf.where(of_each(chosen), 255.0 - images, images)


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance of each value from its channel's mean."""
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return mean + of_each(factor) * (images - mean)


def brightness(images: tf.Tensor, added: tf.Tensor) -> tf.Tensor:
    return images + of_each(added)


def blur(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Replaces each pixel by the mean of the image's pixels, weighted by a Gaussian.

    What lies beyond the edge has no weight, so edges do not darken. One matrix product per axis
    takes another sigma for each image, which no convolution does.
    """
    height, width = images.shape[1:3]
    down, across = _weights(height, sigma), _weights(width, sigma)
    return tf.einsum("bij,bjkc,blk->bilc", down, images, across, optimize="optimal")


def _weights(size: int, sigma: tf.Tensor) -> tf.Tensor:
    """How much each pixel of a line counts: float32 (batch, to, from), each row of sum 1."""
    place = tf.range(size, dtype=tf.float32)
    distance = (place[:, None] - place) / tf.maximum(sigma, SMALLEST_SIGMA)[:, None, None]
    return tf.nn.softmax(-0.5 * distance**2)
