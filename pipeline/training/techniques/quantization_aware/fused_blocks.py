"""The float layers of a network in the groups that TFLite's converter makes operators of."""

from typing import Any

import keras
import tensorflow as tf

from export.tflite.quantization.ranges import Ends, Learnt
from pipeline.training.techniques.quantization_aware.fake_quant import (
    Range,
    round_between,
    round_constant,
    round_kernel,
)

FUSED = ("linear", "relu", "relu6")
SIGMOID, TANH = (0.0, 255 / 256), (-1.0, 127 / 128)
KINDS: dict[Any, str] = {
    keras.layers.DepthwiseConv2D: "DEPTHWISE_CONV_2D",
    keras.layers.Conv2D: "CONV_2D",
    keras.layers.Dense: "FULLY_CONNECTED",
}


class Block(keras.Layer):
    """Layers that compute as float until `is_rounding`, and then as their int8 form."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")
        self.is_rounding = False

    def learnt(self, before: Ends) -> list[Learnt]:
        """Its operators, each with the ends of its range, for the ends of what comes in."""
        raise NotImplementedError


class Activated(Block):
    """What an activation follows, within the operator or as one or two of its own."""

    def __init__(self, activation: keras.Layer | None) -> None:
        super().__init__()
        self.activation = activation
        self.function = _name(activation)
        self.range = Range()
        if self.function not in (*FUSED, "tanh"):
            self.activated = Range()

    def _activate(self, numbers: tf.Tensor, training: bool) -> tf.Tensor:
        """Rounds, before and after the activation where that is an operator of its own."""
        if self.function in FUSED:
            return self.range(self._float_activation(numbers), training=training)
        numbers = self.range(numbers, training=training)
        if self.function == "tanh":
            return round_between(tf.tanh(numbers), *TANH)
        if self.function == "silu":
            numbers *= round_between(tf.sigmoid(numbers), *SIGMOID)
        else:
            numbers = self._float_activation(numbers)
        return self.activated(numbers, training=training)

    def _float_activation(self, numbers: tf.Tensor) -> tf.Tensor:
        return numbers if self.activation is None else self.activation(numbers)

    def _learnt_activation(self) -> list[Learnt]:
        if self.function in FUSED:
            return []
        if self.function == "tanh":
            return [("TANH", TANH)]
        if self.function == "silu":
            return [("LOGISTIC", SIGMOID), ("MUL", self.activated.ends)]
        return [(self.function.upper(), self.activated.ends)]


class Weighted(Activated):
    """A layer with a kernel, the normalisation that its kernel takes in, and an activation."""

    def __init__(
        self,
        layer: keras.Layer,
        norm: keras.layers.BatchNormalization | None,
        activation: keras.Layer | None,
    ) -> None:
        super().__init__(activation)
        self.layer, self.norm = layer, norm

    def call(self, numbers: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.is_rounding:
            kernel, bias = self._folded()
            return self._activate(self._linear(numbers, kernel) + bias, training)
        numbers = self.layer(numbers)
        if self.norm is not None:
            numbers = self.norm(numbers, training=training)
        return self._float_activation(numbers)

    def _folded(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The kernel, rounded, and the bias that give the normalised output."""
        kernel, bias = self.layer.kernel.value, 0.0
        if self.layer.use_bias:
            bias = self.layer.bias.value
        # In TFLite the last two axes of a depthwise kernel are one.
        channels = 2 if isinstance(self.layer, keras.layers.DepthwiseConv2D) else 1
        if self.norm is not None:
            factor, offset = scale_and_offset(self.norm)
            kernel = kernel * tf.reshape(factor, kernel.shape[-channels:])
            bias = bias * factor + offset
        if isinstance(self.layer, keras.layers.Dense):
            channels = 0  # that share one scale
        return round_kernel(kernel, tuple(range(len(kernel.shape) - channels))), bias

    def _linear(self, numbers: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        layer = self.layer
        if isinstance(layer, keras.layers.Dense):
            return tf.matmul(numbers, kernel)
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        convolve = keras.ops.depthwise_conv if is_depthwise else keras.ops.conv
        return convolve(
            numbers,
            kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )

    def learnt(self, before: Ends) -> list[Learnt]:
        kind = next(name for kind, name in KINDS.items() if isinstance(self.layer, kind))
        return [(kind, self.range.ends), *self._learnt_activation()]


class Normalised(Activated):
    """A normalisation that no kernel takes in: TFLite multiplies, then adds."""

    def __init__(
        self, norm: keras.layers.BatchNormalization, activation: keras.Layer | None
    ) -> None:
        super().__init__(activation)
        self.norm = norm
        self.product = Range()

    def call(self, numbers: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not self.is_rounding:
            return self._float_activation(self.norm(numbers, training=training))
        factor, offset = scale_and_offset(self.norm)
        numbers = self.product(numbers * round_constant(factor), training=training)
        return self._activate(numbers + round_constant(offset), training)

    def learnt(self, before: Ends) -> list[Learnt]:
        return [
            ("MUL", self.product.ends),
            ("ADD", self.range.ends),
            *self._learnt_activation(),
        ]


class Averaged(Block):
    """An average over whole maps, which has a range of its own."""

    def __init__(self, layer: keras.layers.GlobalAveragePooling2D) -> None:
        super().__init__()
        self.layer, self.range = layer, Range()

    def call(self, numbers: tf.Tensor, training: bool = False) -> tf.Tensor:
        numbers = self.layer(numbers)
        return self.range(numbers, training=training) if self.is_rounding else numbers

    def learnt(self, before: Ends) -> list[Learnt]:
        return [("MEAN", self.range.ends)]


class Passed(Block):
    """A layer that rounds nothing: its output has the range of its input, or a fixed one."""

    def __init__(
        self, layer: keras.Layer, kind: str | None = None, ends: Ends | None = None
    ) -> None:
        """Takes a layer, the operator that it becomes, if any, and the fixed ends of its range."""
        super().__init__()
        self.layer, self._kind, self._ends = layer, kind, ends

    def call(self, numbers: tf.Tensor, training: bool = False) -> tf.Tensor:
        if isinstance(self.layer, keras.layers.Dropout):
            return self.layer(numbers, training=training)
        return self.layer(numbers)

    def learnt(self, before: Ends) -> list[Learnt]:
        return [(self._kind, self._ends or before)] if self._kind else []


def scale_and_offset(norm: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """What a normalisation multiplies by and adds, by its moving statistics."""
    factor = tf.math.rsqrt(norm.moving_variance.value + norm.epsilon)
    if norm.scale:
        factor *= norm.gamma.value
    offset = -norm.moving_mean.value * factor
    return factor, offset + norm.beta.value if norm.center else offset


def _name(activation: keras.Layer | None) -> str:
    if activation is None:
        return "linear"
    function = getattr(activation, "activation", None)
    return function.__name__ if function else type(activation).__name__
