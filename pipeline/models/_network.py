"""What the presets share: their options, and a chain of convolutions and dense layers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pipeline.config.schema import Fraction, ModelSection
from pipeline.core import plugins
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    import keras

Padding = Literal["valid", "same"]
Penalty = Annotated[float, Field(ge=0, le=1)]


class NetworkOptions(ModelSection):
    """The options that every preset takes.

    Attributes:
        mean: subtracted from pixels / 255.
        deviation: what the difference is then divided by.
        activation: after each layer with weights but the last; `tflite_int8` has no integer form
            of `elu` and computes it as float.
        kernel_initializer: how weights are drawn before training.
        batch_norm: normalise before each activation; the layer before then has no bias.
        head: how the last feature maps reach the dense layers. `flatten` keeps where things are,
            at a weight per position, map and unit: for large images, `global_average` keeps the
            model small.
        dropout: share of the inputs of the last dense layer that training drops.
        padding: what convolutions do at the edge; `valid` lets each map shrink by its kernel,
            `same` keeps its size, so that smaller images reach the last layer; the preset's own
            where None.
        l1: penalty on the absolute values of every kernel.
        l2: penalty on the squares of every kernel.
    """

    mean: Fraction = 0.0
    deviation: Annotated[float, Field(gt=0, le=1)] = 1.0
    activation: Literal["relu", "relu6", "leaky_relu", "elu", "silu", "tanh"] = "relu"
    kernel_initializer: Literal[
        "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal"
    ] = "glorot_uniform"
    batch_norm: bool = False
    head: Literal["flatten", "global_average"] = "flatten"
    dropout: Fraction = 0.0
    padding: Padding | None = None
    l1: Penalty = 0.0
    l2: Penalty = 0.0


@dataclass(frozen=True)
class Convolution:
    """A convolution of square kernels, then 2 × 2 max pooling where `pool` is set."""

    filters: int
    kernel_size: int = 3
    pool: bool = False

    def side_after(self, side: int, padding: Padding) -> int:
        """Height or width of the output, in pixels, for that of the input; 0 if nothing is left."""
        if padding == "valid":
            side -= self.kernel_size - 1
        return max(side // 2 if self.pool else side, 0)


@dataclass(frozen=True)
class Network:
    """Convolutions, then dense layers of these widths, then the classifier."""

    convolutions: tuple[Convolution, ...]
    dense: tuple[int, ...] = ()
    padding: Padding = "valid"

    def least_side(self, padding: Padding | None = None) -> int:
        """Height and width, in pixels, of the smallest image that reaches the last layer."""
        used = padding or self.padding
        return next(side for side in count(1) if self._side_after_all(side, used) > 0)

    def _side_after_all(self, side: int, padding: Padding) -> int:
        for convolution in self.convolutions:
            side = convolution.side_after(side, padding)
        return side

    def build(
        self, options: NetworkOptions, image_shape: tuple[int, int, int], num_classes: int
    ) -> "keras.Sequential":
        """Makes the model: pixels 0..255 in `image`, float32 (batch, num_classes) out.

        Raises:
            ConfigError: the images are too small for the convolutions and pools.
        """
        import keras

        self._refuse_small(options, image_shape)
        layers = [
            keras.Input(image_shape, name="image"),
            keras.layers.Rescaling(
                1 / (255 * options.deviation), -options.mean / options.deviation, name="normalize"
            ),
            *self._features(options),
            *_classifier(options, num_classes),
        ]
        return keras.Sequential(layers, name=options.preset)

    def _refuse_small(self, options: NetworkOptions, image_shape: tuple[int, int, int]) -> None:
        height, width, _ = image_shape
        side, least = min(height, width), self.least_side(options.padding)
        if side < least:
            ways = ["model.padding=same"] if side >= self.least_side("same") else []
            if fitting := _presets_for(side):
                ways.append(f"model.preset={'|'.join(fitting)}")
            remedy = f"set {' or '.join(ways)}" if ways else "use larger images"
            raise ConfigError(
                f"model.preset: {options.preset} takes images of {least}×{least} pixels or more, "
                f"but those of `data` are {height}×{width}; {remedy}"
            )

    def _features(self, options: NetworkOptions) -> "Iterator[keras.Layer]":
        from keras import layers

        weighted = _weight_options(options, use_bias=not options.batch_norm)
        padding = options.padding or self.padding
        for i, c in enumerate(self.convolutions, start=1):
            yield layers.Conv2D(
                c.filters, c.kernel_size, padding=padding, name=f"conv{i}", **weighted
            )
            # The largest value stays the largest through a rising activation such as ReLU:
            # pooling first gives the same result from a quarter of the work.
            if c.pool:
                yield layers.MaxPooling2D(name=f"pool{i}")
            yield from _activated(options, f"{i}")
        if options.head == "flatten":
            yield layers.Flatten(name="flatten")
        else:
            yield layers.GlobalAveragePooling2D(name="average")
        for i, units in enumerate(self.dense, start=1):
            yield layers.Dense(units, name=f"dense{i}", **weighted)
            yield from _activated(options, f"_dense{i}")


def _presets_for(side: int) -> list[str]:
    """The presets that take images of this height or width as they are, by their defaults."""
    modules = {name: plugins.load(plugins.MODELS, name) for name in plugins.names(plugins.MODELS)}
    return [
        name
        for name, module in modules.items()
        if hasattr(module, "network")
        and module.network(module.Options(preset=name)).least_side() <= side
    ]


def _activated(options: NetworkOptions, suffix: str) -> "Iterator[keras.Layer]":
    from keras import layers

    if options.batch_norm:
        # Keras' momentum of 0.99 lags behind in the few thousand steps of a short training.
        yield layers.BatchNormalization(momentum=0.9, name=f"norm{suffix}")
    yield layers.Activation(options.activation, name=f"activation{suffix}")


def _classifier(options: NetworkOptions, num_classes: int) -> "Iterator[keras.Layer]":
    from keras import layers

    if options.dropout:
        yield layers.Dropout(options.dropout, name="dropout")
    yield layers.Dense(num_classes, name="logits", **_weight_options(options, use_bias=True))
    yield layers.Activation("softmax", dtype="float32", name="probabilities")


def _weight_options(options: NetworkOptions, *, use_bias: bool) -> dict[str, Any]:
    import keras

    penalty = keras.regularizers.L1L2(options.l1, options.l2) if options.l1 or options.l2 else None
    return {
        "use_bias": use_bias,
        "kernel_initializer": options.kernel_initializer,
        "kernel_regularizer": penalty,
    }
