"""The keys of `train` that say how training imitates the int8 file."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config.train.exclusions import FROZEN, MIXED
from pipeline.config.train.technique import TechniqueSection


class QuantizationAware(TechniqueSection):
    """Whether training computes as `tflite_int8` will, so that it learns to do well in 8 bits.

    Attributes:
        enabled: whether training imitates 8 bits.
        begin_fraction: share of the epochs that train as usual before; from then on the statistics
            of batch normalisation stay as they are.
    """

    float32: ClassVar = "8 bits are imitated in float32"
    excludes: ClassVar = (
        (("members",), "the ranges of one network are learnt"),
        (MIXED, float32),
        ((*FROZEN, "fine_tuning.rate_factors"), "all layers learn 8 bits alike"),
    )
    excludes_elsewhere: ClassVar = (
        ("model.mean", "the rounding of pixels is not learnt with a shift"),
        ("export.rgb_input", "the ranges that training learns are those of the grey model"),
    )
    least_epochs: ClassVar = 2

    enabled: bool = False
    begin_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @property
    def is_on(self) -> bool:
        return self.enabled

    def begin_epoch(self, epochs: int) -> int:
        """The first epoch in 8 bits, from 0: neither the very first nor beyond the last."""
        return min(max(1, round(self.begin_fraction * epochs)), epochs - 1)
