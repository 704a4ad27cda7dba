"""The keys of `train.distillation`: from which trained model the network learns, and how much."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.config.base import OutsidePath, trained_file
from pipeline.config.train.technique import TechniqueSection


class Distillation(TechniqueSection):
    """Learning from a trained model besides the labels (Hinton et al. 2015, arXiv:1503.02531).

    Attributes:
        teacher: a train artifact's folder or key, or a `.keras` file.
        temperature: both models' logits are divided by it before they are compared; the higher,
            the more the classes count that the teacher thinks unlikely.
        teacher_share: how much of the loss comes from the teacher; the rest comes from the labels.
    """

    excludes_elsewhere: ClassVar = (("tune.enabled", "a search has no teacher"),)
    trained_models: ClassVar = ("teacher",)

    teacher: OutsidePath
    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    teacher_share: Annotated[float, Field(gt=0, le=1)] = 0.7

    @property
    def teacher_file(self) -> Path:
        return trained_file(self.teacher)

    @property
    def loss_factor(self) -> float:
        """How many times the loss of the labels alone the whole loss of guessing may be.

        The teacher's part is multiplied by the square of the temperature, so that its gradients
        stay as large as those of the labels.
        """
        return 1 - self.teacher_share + self.teacher_share * self.temperature**2
