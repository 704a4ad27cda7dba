"""Two convolutions and one wide dense layer, which holds nearly all the weights."""

from typing import TYPE_CHECKING, Literal

from pipeline.models._network import Convolution, Network, NetworkOptions

if TYPE_CHECKING:
    import keras


class Options(NetworkOptions):
    preset: Literal["wide_dense"]


def network(options: Options) -> Network:
    return Network(
        (Convolution(32, pool=True), Convolution(64, pool=True)),
        dense=(1024,),
        padding="same",
    )


def build(
    options: Options, image_shape: tuple[int, int, int], num_classes: int
) -> "keras.Sequential":
    return network(options).build(options, image_shape, num_classes)
