"""Three convolutions and a small dense layer, as in TensorFlow's first CNN tutorial."""

from typing import TYPE_CHECKING, Literal

from pipeline.models._network import Convolution, Network, NetworkOptions

if TYPE_CHECKING:
    import keras


class Options(NetworkOptions):
    preset: Literal["three_conv"]


def network(options: Options) -> Network:
    return Network(
        (Convolution(32, pool=True), Convolution(64, pool=True), Convolution(64)),
        dense=(64,),
    )


def build(
    options: Options, image_shape: tuple[int, int, int], num_classes: int
) -> "keras.Sequential":
    return network(options).build(options, image_shape, num_classes)
