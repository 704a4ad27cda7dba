"""Finds the groups of a network's layers that TFLite's converter makes operators of."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from export.tflite.quantization.ranges import PROBABILITIES
from pipeline.core.errors import ConfigError
from pipeline.training.techniques.quantization_aware.fused_blocks import (
    KINDS,
    Averaged,
    Block,
    Normalised,
    Passed,
    Weighted,
)

PASSED = {
    keras.layers.Dropout: None,
    keras.layers.Flatten: None,
    keras.layers.MaxPooling2D: "MAX_POOL_2D",
    keras.layers.AveragePooling2D: "AVERAGE_POOL_2D",
}
FOLLOWING = ("relu", "relu6", "leaky_relu", "elu", "silu", "tanh")


def blocks_of(layers: Sequence[keras.Layer]) -> Iterator[Block]:
    """The layers of a chain in groups, in their order.

    Raises:
        ConfigError: the int8 form of one is not known here.
    """
    waiting = [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    while waiting:
        yield _first(waiting)


def _first(waiting: list[keras.Layer]) -> Block:
    """Takes the layers of the first group away."""
    layer = waiting.pop(0)
    if _is_linear(layer):
        norm = waiting.pop(0) if _is_norm(waiting) else None
        return Weighted(layer, norm, _activation(waiting))
    if isinstance(layer, keras.layers.BatchNormalization):
        return Normalised(layer, _activation(waiting))
    if isinstance(layer, keras.layers.GlobalAveragePooling2D) and not layer.keepdims:
        return Averaged(layer)
    for kind, operator in PASSED.items():
        if isinstance(layer, kind):
            return Passed(layer, operator)
    if _is_scale_before_a_kernel(layer, waiting):
        return Passed(layer)
    if not waiting and _function(layer) == "softmax":
        return Passed(layer, "SOFTMAX", PROBABILITIES)
    raise ConfigError(
        f"train.quantization_aware: layer {layer.name} ({type(layer).__name__}) has no place in "
        "the int8 networks that it knows; use another preset or option, or set "
        "train.quantization_aware.enabled=false"
    )


def _is_linear(layer: Any) -> bool:
    return (
        isinstance(layer, tuple(KINDS))
        and getattr(layer, "activation", None) is keras.activations.linear
    )


def _is_norm(waiting: Sequence[keras.Layer]) -> bool:
    return bool(waiting) and isinstance(waiting[0], keras.layers.BatchNormalization)


def _activation(waiting: list[keras.Layer]) -> keras.Layer | None:
    return waiting.pop(0) if waiting and _function(waiting[0]) in FOLLOWING else None


def _function(layer: Any) -> str:
    if isinstance(layer, keras.layers.Activation):
        return str(layer.activation.__name__)
    return ""


def _is_scale_before_a_kernel(layer: keras.Layer, waiting: Sequence[keras.Layer]) -> bool:
    """Whether the next kernel takes the factor in; what stands between must let it pass."""
    if not isinstance(layer, keras.layers.Rescaling) or layer.offset:
        return False
    after = next((n for n in waiting if not isinstance(n, tuple(PASSED))), None)
    return isinstance(after, tuple(KINDS))
