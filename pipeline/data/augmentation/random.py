"""Random numbers that follow from a batch's seed and from what they are for."""

from collections.abc import Sequence
from enum import IntEnum, unique

import tensorflow as tf


@unique
class Purpose(IntEnum):
    """Each change draws from a stream of its own, so none alters what another draws."""

    FLIP = 1
    ELASTIC = 2
    INVERT = 3
    CONTRAST = 4
    BRIGHTNESS = 5
    BLUR = 6
    NOISE = 7
    NOISE_STDDEV = 8
    ERASING = 9
    ERASING_FILL = 10
    MIXING = 11
    MIXING_SHARE = 12
    MIXING_PARTNER = 13
    PAPER = 14
    PAPER_PATCHES = 15


SMALLEST_ALPHA = 1e-6


def uniform(
    seed: tf.Tensor,
    purpose: Purpose,
    shape: Sequence[int | tf.Tensor] | tf.Tensor,
    low: float = 0.0,
    high: float = 1.0,
) -> tf.Tensor:
    """float32 numbers, evenly spread over low..high."""
    return tf.random.stateless_uniform(
        shape, _stream(seed, purpose), low, high, tf.float32, alg="philox"
    )


def normal(seed: tf.Tensor, purpose: Purpose, shape: tf.Tensor) -> tf.Tensor:
    """float32 numbers of mean 0 and standard deviation 1."""
    return tf.random.stateless_normal(shape, _stream(seed, purpose), alg="philox")


def beta(seed: tf.Tensor, purpose: Purpose, alpha: tf.Tensor) -> tf.Tensor:
    """float32 (count,), each drawn from Beta(a, a) with the `alpha`, float32 (count,), of its own.

    It is g / (g + h) of two draws from Gamma(a). Where a is small both are too small for a
    float32, but not the logarithm of G U^(1/a), which is one too if G is drawn from Gamma(a + 1)
    and U evenly from 0..1.
    """
    shape = (2, tf.shape(alpha)[0])
    alpha = tf.maximum(alpha, SMALLEST_ALPHA)
    for_gamma, for_uniform = tf.unstack(
        tf.random.split(_stream(seed, purpose), num=2, alg="philox")
    )
    gamma = tf.random.stateless_gamma(shape, for_gamma, alpha + 1.0)
    above_zero = 1.0 - tf.random.stateless_uniform(shape, for_uniform, alg="philox")
    first, second = tf.unstack(tf.math.log(gamma) + tf.math.log(above_zero) / alpha)
    return tf.sigmoid(first - second)


def permutation(seed: tf.Tensor, purpose: Purpose, count: tf.Tensor) -> tf.Tensor:
    """The numbers from 0 to `count` - 1 in a random order: int32 (count,)."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(count), _stream(seed, purpose), alg="philox"
    )


def of_each(amounts: tf.Tensor) -> tf.Tensor:
    """One amount for each image, (batch,), to stand beside all of its pixels."""
    return amounts[:, None, None, None]


def _stream(seed: tf.Tensor, purpose: Purpose) -> tf.Tensor:
    return tf.random.fold_in(seed, int(purpose), alg="philox")
