"""Builds a network without the filters that are 0 throughout; it gives the same answers."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

WITH_KERNEL = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def shrunk(network: keras.Sequential) -> keras.Sequential:
    """The network with fewer filters and units, as a network of Keras' layers as it was."""
    made = [(layer, config, weights) for layer, config, weights in _smaller(network.layers)]
    layers = [type(layer).from_config(config) for layer, config, _ in made]
    smaller = keras.Sequential(
        [keras.Input(network.input_shape[1:], name="image"), *layers], name=network.name
    )
    for layer, (_, _, weights) in zip(layers, made, strict=True):
        layer.set_weights(weights)
    return smaller


def _smaller(layers: Sequence[Any]) -> Iterator[tuple[Any, dict[str, Any], list[np.ndarray]]]:
    """Each layer with its new config and weights."""
    kept = np.arange(layers[0].input.shape[-1])
    for index, layer in enumerate(layers):
        config, weights = layer.get_config(), layer.get_weights()
        if has_filters(layer):
            weights[0] = np.take(weights[0], kept, axis=-2)
            kept = _alive(layers[index:])
            weights = [np.take(w, kept, axis=-1) for w in weights]
            config["filters" if "filters" in config else "units"] = len(kept)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            weights = [np.take(w, kept, axis=2 if w.ndim > 1 else 0) for w in weights]
        elif isinstance(layer, keras.layers.BatchNormalization):
            weights = [np.take(w, kept) for w in weights]
        elif isinstance(layer, keras.layers.Flatten):
            *sides, channels = layer.input.shape[1:]
            kept = (np.arange(np.prod(sides, dtype=int))[:, None] * channels + kept).ravel()
        yield layer, config, weights


def _alive(layers: Sequence[Any]) -> np.ndarray:
    """The filters of the first layer that reach the next kernel; all of the last layer's."""
    first, *rest = layers
    end = next((i for i, layer in enumerate(rest) if has_filters(layer)), None)
    kernel = first.kernel.numpy()
    if end is None:
        return np.arange(kernel.shape[-1])
    is_alive = np.any(kernel != 0, axis=tuple(range(kernel.ndim - 1)))
    for layer in layers[: end + 1]:
        if isinstance(layer, WITH_KERNEL) and layer.use_bias:
            is_alive |= layer.bias.numpy() != 0
        if isinstance(layer, keras.layers.BatchNormalization):
            is_alive |= (layer.gamma.numpy() != 0) | (layer.beta.numpy() != 0)
    is_alive[0] |= not is_alive.any()
    return np.flatnonzero(is_alive)


def sizes(network: keras.Sequential) -> dict[str, float]:
    """Parameters, what share of the numbers in kernels is 0, and their float32 bytes deflated."""
    kernels = [layer.kernel.numpy() for layer in network.layers if isinstance(layer, WITH_KERNEL)]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    return {
        "parameters": network.count_params(),
        "zero_share": zeros / sum(kernel.size for kernel in kernels),
        "kernel_bytes": sum(kernel.nbytes for kernel in kernels),
        "kernel_deflated_bytes": len(zlib.compress(b"".join(k.tobytes() for k in kernels), 9)),
    }


def has_filters(layer: Any) -> bool:
    """Whether the channels of its output are its own, and not those of its input."""
    is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return isinstance(layer, WITH_KERNEL) and not is_depthwise
