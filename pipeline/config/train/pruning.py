"""The keys of `train` that say how much of a network is taken away while it trains."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Fraction
from pipeline.config.train.exclusions import FROZEN
from pipeline.config.train.technique import TechniqueSection


class Pruning(TechniqueSection):
    """What share of the weights becomes 0, or of the filters goes, and when.

    Some are taken at the beginning of each epoch, from the first that begins after `begin_fraction`
    to that which `end_fraction` is nearest to; at least the last epoch trains on what remains.

    Attributes:
        sparsity: the share in the end.
        structure: `weights` sets single numbers in kernels to 0, all but the largest of each
            filter at most; `filters` takes whole filters and units away, so that the model that is
            published has fewer.
        scope: `layer` takes the share from each layer, `global` from all together, so that layers
            that matter less lose more.
        begin_fraction: share of the epochs in which nothing is taken.
        end_fraction: share of the epochs after which the last are taken.
    """

    excludes: ClassVar = ((FROZEN, "what is frozen stays as it is"),)
    least_epochs: ClassVar = 2

    sparsity: Annotated[float, Field(gt=0, lt=1)]
    structure: Literal["weights", "filters"] = "weights"
    scope: Literal["layer", "global"] = "layer"
    begin_fraction: Fraction = 0.1
    end_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.6

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "Pruning":
        if self.begin_fraction >= self.end_fraction:
            raise ValueError(
                f"begin_fraction is {self.begin_fraction:g}; expected less than end_fraction, "
                f"{self.end_fraction:g}"
            )
        return self

    def end_epoch(self, epochs: int) -> int:
        """The epoch, from 0, at whose beginning the last are taken."""
        return min(max(1, round(self.end_fraction * epochs)), epochs - 1)

    def share(self, epoch: int, epochs: int) -> float:
        """What share is gone in an epoch, counted from 0: fast at first (arXiv:1710.01878)."""
        begin, end = self.begin_fraction * epochs, self.end_epoch(epochs)
        left = (end - epoch) / max(end - begin, 1e-9)
        return self.sparsity * (1 - min(max(left, 0.0), 1.0) ** 3)
