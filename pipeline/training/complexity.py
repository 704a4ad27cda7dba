"""What a model costs: parameters, multiply-accumulates, and estimates of flash and RAM."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras

FLASH_RULE = (
    "An estimate of the weights alone: as float32 4 bytes a value, as int8 1 byte a value of a "
    "kernel and 4 bytes any other; a batch norm counts as a scale and a shift per channel. The "
    "file's structure and the runtime come on top."
)
RAM_RULE = (
    "An estimate: the largest sum of a layer's input and output values, at 4 bytes each as "
    "float32 and 1 as int8. Layers that a runtime fuses or computes in place need less, and the "
    "runtime's own buffers come on top."
)
BYTES_PER_VALUE = {"float32": 4, "int8": 1}
BIAS_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """One row of the table; shapes leave out the batch."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_accumulates: int


@dataclass(frozen=True)
class Complexity:
    """The costs of a model for one image.

    Attributes:
        flash_bytes: of the weights, by number type.
        ram_bytes: of the activations, by number type.
        uncounted: layers with kernels whose multiply-accumulates no rule here counts.
    """

    parameters: int
    trainable_parameters: int
    multiply_accumulates: int
    flash_bytes: Mapping[str, int]
    ram_bytes: Mapping[str, int]
    layers: tuple[LayerCost, ...]
    uncounted: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "flash_rule": FLASH_RULE, "ram_rule": RAM_RULE}


def measure(model: keras.Model) -> Complexity:
    """Counts a built model of single-input, single-output layers, such as a Sequential."""
    layers = tuple(_layer_cost(layer) for layer in model.layers)
    largest = max(_values(layer.input) + _values(layer.output) for layer in model.layers)
    return Complexity(
        parameters=model.count_params(),
        trainable_parameters=sum(math.prod(w.shape) for w in model.trainable_weights),
        multiply_accumulates=sum(layer.multiply_accumulates for layer in layers),
        flash_bytes={name: _flash_bytes(model, size) for name, size in BYTES_PER_VALUE.items()},
        ram_bytes={name: largest * size for name, size in BYTES_PER_VALUE.items()},
        layers=layers,
        uncounted=tuple(layer.name for layer in model.layers if _is_uncounted(layer)),
    )


def _layer_cost(layer: keras.Layer) -> LayerCost:
    kind = type(layer).__name__
    count = MULTIPLY_ACCUMULATES.get(kind, lambda _: 0)
    return LayerCost(
        name=layer.name,
        kind=kind,
        output_shape=tuple(layer.output.shape[1:]),
        parameters=layer.count_params(),
        multiply_accumulates=count(layer),
    )


def _values(tensor: Any) -> int:
    return math.prod(tensor.shape[1:])


def _convolution(layer: keras.Layer) -> int:
    """Each output value is one kernel's height × width × input channels (of its group)."""
    return _values(layer.output) * math.prod(layer.kernel.shape[:3])


def _depthwise(layer: keras.Layer) -> int:
    """Each output value is one kernel's height × width of one channel."""
    return _values(layer.output) * math.prod(layer.kernel.shape[:2])


def _separable(layer: keras.Layer) -> int:
    """A depthwise convolution to the output's height and width, then a 1 × 1 convolution."""
    depthwise, pointwise = layer.depthwise_kernel.shape, layer.pointwise_kernel.shape
    positions = _values(layer.output) // pointwise[-1]
    return positions * (math.prod(depthwise) + math.prod(pointwise))


def _dense(layer: keras.Layer) -> int:
    return _values(layer.output) * layer.kernel.shape[0]


MULTIPLY_ACCUMULATES: Mapping[str, Callable[[keras.Layer], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
}


def _is_uncounted(layer: keras.Layer) -> bool:
    has_kernel = any(len(weight.shape) > 1 for weight in layer.weights)
    return has_kernel and type(layer).__name__ not in MULTIPLY_ACCUMULATES


def _flash_bytes(model: keras.Model, kernel_value_bytes: int) -> int:
    kernels = others = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            others += 2 * layer.input.shape[layer.axis]
            continue
        for weight in layer.weights:
            if len(weight.shape) > 1:
                kernels += math.prod(weight.shape)
            else:
                others += math.prod(weight.shape)
    return kernels * kernel_value_bytes + others * BIAS_BYTES
