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


def _stream(seed: tf.Tensor, purpose: Purpose) -> tf.Tensor:
    return tf.random.fold_in(seed, int(purpose), alg="philox")
