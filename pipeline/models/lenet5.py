"""LeNet-5 as tutorials have it: 3×3 kernels, ReLU and max pooling.

The original (LeCun et al., 1998, https://doi.org/10.1109/5.726791) has 5×5 kernels, tanh and
average pooling.
"""

from typing import TYPE_CHECKING, Literal

from pipeline.models._network import Convolution, Network, NetworkOptions

if TYPE_CHECKING:
    import keras


class Options(NetworkOptions):
    preset: Literal["lenet5"]


def network(options: Options) -> Network:
    return Network(
        (Convolution(6, pool=True), Convolution(16, pool=True)),
        dense=(120, 84),
    )


def build(
    options: Options, image_shape: tuple[int, int, int], num_classes: int
) -> "keras.Sequential":
    return network(options).build(options, image_shape, num_classes)
