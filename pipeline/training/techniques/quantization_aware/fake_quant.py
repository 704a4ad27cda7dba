"""Numbers as 8 bits hold them, in float32, through which gradients pass.

Jacob et al. 2018, arXiv:1712.05877. TensorFlow moves the ends of a range so that 0 is one of the
256 steps, as TFLite does.
"""

import keras
import tensorflow as tf

LARGEST = 127
LEAST_RANGE = 1e-6
MOMENTUM = 0.99


def round_kernel(kernel: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
    """A kernel in -127..127 steps of a scale for each channel, or of one for all.

    Args:
        kernel: float32.
        axes: those along which numbers share a scale.
    """
    largest = tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True)
    scale = tf.maximum(largest, LEAST_RANGE) / LARGEST
    return kernel + tf.stop_gradient(tf.round(kernel / scale) * scale - kernel)


def round_constant(numbers: tf.Tensor) -> tf.Tensor:
    """Numbers that share one scale, which reaches from the least, or 0, to the largest."""
    low, high = tf.reduce_min(numbers), tf.reduce_max(numbers)
    return round_between(numbers, tf.minimum(low, 0.0), tf.maximum(high, 0.0))


def round_between(numbers: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Numbers in 256 steps of a range, which holds 0; those beyond its ends become these."""
    high = tf.maximum(high, low + LEAST_RANGE)
    return tf.quantization.fake_quant_with_min_max_vars(numbers, low, high)


class Range(keras.Layer):
    """Rounds to a range that follows, as a moving average, that of each training batch."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")
        self.low, self.high, self.has_seen = (
            self.add_weight(shape=(), initializer="zeros", trainable=False, name=name)
            for name in ("low", "high", "has_seen")
        )
        self.built = True

    def call(self, numbers: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            self._follow(tf.stop_gradient(numbers))
        return round_between(numbers, self.low.value, self.high.value)

    def _follow(self, numbers: tf.Tensor) -> None:
        kept = MOMENTUM * self.has_seen.value
        low, high = tf.reduce_min(numbers), tf.reduce_max(numbers)
        self.low.assign(kept * self.low.value + (1 - kept) * tf.minimum(low, 0.0))
        self.high.assign(kept * self.high.value + (1 - kept) * tf.maximum(high, 0.0))
        self.has_seen.assign(1.0)

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.low.value), float(self.high.value)
