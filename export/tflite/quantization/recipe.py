"""How a TFLite model is quantised."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["int8", "int16", "float32"]
Io = Literal["uint8", "int8", "float32"]
Weights = Literal["int8", "int4"]
Rounding = Literal["min_max", "octav"]
DenseScales = Literal["one", "channel"]


@dataclass(frozen=True)
class Recipe:
    """How to quantise a model.

    Attributes:
        weights: how kernels are stored, each output channel with a scale of its own.
        rounding: which scale 4-bit kernels get: `min_max` reaches the largest number, `octav`
            clips so that the squared error is least (Sakr et al. 2022, arXiv:2206.06501).
        io: how pixels come in and probabilities go out.
        kept: names of operators that stay more precise.
        kept_in: how these compute: `int16` and `float32` are their activations; `int8`, where
            weights have 4 bits, their kernels.
        only: names of the operators to quantise; all if empty.
        dense_scales: whether the 8-bit kernel of a dense layer has one scale, which every release
            of TFLite reads, or one for each channel, which is finer and needs a newer one.
    """

    weights: Weights = "int8"
    rounding: Rounding = "min_max"
    io: Io = "uint8"
    kept: tuple[str, ...] = ()
    kept_in: Precision = "float32"
    only: tuple[str, ...] = ()
    dense_scales: DenseScales = "channel"
