"""Two convolutions and no hidden dense layer: Keras' own MNIST example.

https://keras.io/examples/vision/mnist_convnet
"""

from typing import TYPE_CHECKING, Literal

from pipeline.config.schema import Fraction
from pipeline.models._network import Convolution, Network, NetworkOptions

if TYPE_CHECKING:
    import keras


class Options(NetworkOptions):
    preset: Literal["two_conv"]
    dropout: Fraction = 0.5


def network(options: Options) -> Network:
    return Network((Convolution(32, pool=True), Convolution(64, pool=True)))


def build(
    options: Options, image_shape: tuple[int, int, int], num_classes: int
) -> "keras.Sequential":
    return network(options).build(options, image_shape, num_classes)
