"""For the smallest files: narrow convolutions with a width each, and an average over the last maps.

A TFLite file pays for every layer and every channel besides the weights, so few layers of 3×3
kernels are smaller at equal accuracy than twice as many depthwise and pointwise ones.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.models._network import Convolution, Network, NetworkOptions

if TYPE_CHECKING:
    import keras

Width = Annotated[int, Field(ge=1, le=512)]


class Options(NetworkOptions):
    """Options of `tiny_cnn`.

    Attributes:
        filters: of each convolution in turn; the first has 5×5 kernels, the others 3×3.
        pooled: which of them 2 × 2 max pooling follows, counted from 1.
    """

    preset: Literal["tiny_cnn"]
    filters: Annotated[tuple[Width, ...], Field(min_length=1)] = (8, 12, 12, 12, 12)
    pooled: tuple[int, ...] = (1,)
    batch_norm: bool = True
    head: Literal["flatten", "global_average"] = "global_average"

    @model_validator(mode="after")
    def _pools_follow_convolutions(self) -> "Options":
        count = len(self.filters)
        if beyond := [number for number in self.pooled if not 1 <= number <= count]:
            raise ValueError(
                f"pooled names convolution {beyond[0]}, but filters makes {count}; "
                f"name 1 to {count}"
            )
        return self


def network(options: Options) -> Network:
    convolutions = tuple(
        Convolution(width, kernel_size=5 if number == 1 else 3, pool=number in options.pooled)
        for number, width in enumerate(options.filters, start=1)
    )
    return Network(convolutions)


def build(
    options: Options, image_shape: tuple[int, int, int], num_classes: int
) -> "keras.Sequential":
    return network(options).build(options, image_shape, num_classes)
