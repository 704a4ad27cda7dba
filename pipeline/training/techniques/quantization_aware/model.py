"""The network that `fit` trains in place of the float network, and what makes it begin."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.tflite.quantization import ranges
from export.tflite.quantization.ranges import PIXELS, Learnt
from pipeline.training.technique import Technique
from pipeline.training.techniques.quantization_aware.fake_quant import Range
from pipeline.training.techniques.quantization_aware.fused_blocks import Block
from pipeline.training.techniques.quantization_aware.fusing import blocks_of


class QuantizationAware(Technique):
    """Trains a twin of the network in 8 bits, and publishes the ranges that it learns."""

    name = "quantization_aware"

    def wrap(self, network: Any) -> Any:
        self.twin = Twin(network)
        return self.twin

    def callbacks(self, first_epoch: int) -> Sequence[Any]:
        return (BeginRounding(self.first_epoch(), first_epoch),)

    def first_epoch(self) -> int:
        return int(self.settings.begin_epoch(self.section.epochs))

    def unwrap(self, network: Any, weights: Sequence[np.ndarray], folder: Path) -> Any:
        self.twin.set_weights(weights)
        ranges.write_learnt(self.twin.learnt(), folder)
        return network


class Twin(keras.Sequential):
    """Computes with the float network's own weights; its last weights are the learnt ranges."""

    def __init__(self, network: keras.Sequential) -> None:
        """Makes the twin of a built network.

        Raises:
            ConfigError: it has a layer whose int8 form is not known here.
        """
        blocks = blocks_of(network.layers)
        super().__init__([keras.Input(network.input_shape[1:], name="image"), *blocks])
        # Past Keras, which would take it for one more layer of the chain.
        object.__setattr__(self, "network", network)

    @property
    def weights(self) -> list[Any]:
        mine = {id(weight) for weight in self.ranges}
        return sorted(super().weights, key=lambda weight: id(weight) in mine)

    @property
    def ranges(self) -> list[Any]:
        """The weights that the float network has not."""
        layers = self._flatten_layers()
        return [w for layer in layers if isinstance(layer, Range) for w in layer.weights]

    def begin_rounding(self) -> None:
        """Computes as int8 from the next call of `make_train_function` on."""
        for block in self.layers:
            block.is_rounding = True

    def learnt(self) -> list[Learnt]:
        """The operators of the TFLite file, with the ends of the range of each."""
        operators, ends = [], PIXELS
        for block in self.layers:
            assert isinstance(block, Block)
            operators += block.learnt(ends)
            ends = operators[-1][1] if operators else ends
        return operators


class BeginRounding(keras.callbacks.Callback):
    """Has a twin round from the beginning of an epoch on."""

    def __init__(self, begin_epoch: int, first_epoch: int) -> None:
        """Takes the epoch to begin with, and that in which this training goes on."""
        super().__init__()
        self._begin_epoch, self._first_epoch = begin_epoch, first_epoch

    def on_train_begin(self, logs: Any = None) -> None:
        if self._first_epoch >= self._begin_epoch:
            self._begin()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self._begin_epoch > self._first_epoch:
            self._begin()

    def _begin(self) -> None:
        self.model.begin_rounding()
        self.model.make_train_function(force=True)
        self.model.make_test_function(force=True)
