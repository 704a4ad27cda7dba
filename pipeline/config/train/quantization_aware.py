"""The keys of `train` that say how training imitates the int8 file."""

from typing import Annotated

from pydantic import Field

from pipeline.config.base import Section


class QuantizationAware(Section):
    """Whether training computes as `tflite_int8` will, so that it learns to do well in 8 bits.

    Attributes:
        begin_fraction: share of the epochs that train as usual before; from then on the statistics
            of batch normalisation stay as they are.
    """

    enabled: bool = False
    begin_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5

    def begin_epoch(self, epochs: int) -> int:
        """The first epoch in 8 bits, from 0: neither the very first nor beyond the last."""
        return min(max(1, round(self.begin_fraction * epochs)), epochs - 1)
