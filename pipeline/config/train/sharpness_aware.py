"""The keys of `train.sharpness_aware`: how far to look around for a higher loss."""

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config.train.technique import TechniqueSection


class SharpnessAware(TechniqueSection):
    """Looks for weights around which the loss is low too (Foret et al. 2021, arXiv:2010.01412).

    Each step takes about twice as long: its gradient is that of weights a little uphill.

    Attributes:
        rho: how far uphill, as the length of the move of all weights together.
    """

    excludes: ClassVar = (
        (("quantization_aware",), "8 bits round the move uphill away"),
        (("pruning",), "the move uphill would bring back what is taken"),
    )
    searched: ClassVar = True

    rho: Annotated[float, Field(gt=0, le=10)] = 0.05
