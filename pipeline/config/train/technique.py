"""What the settings of each technique of training declare of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pipeline.config.base import Section, trained_file


class TechniqueSection(Section):
    """The settings of a technique. What goes for it wherever it is in use stands here alone.

    Attributes:
        excludes: settings of `train` that it does not go together with, and why.
        excludes_elsewhere: the same of other sections, each a key that must be off, and why.
        float32: why it needs this precision; empty where it does not.
        one_device: whether several devices cannot share it out.
        searched: whether the trials of a search use it too, so that its settings may be tried.
        least_epochs: how many epochs it needs.
        trained_models: those of its keys that name a train artifact or a `.keras` file.
    """

    excludes: ClassVar[tuple[tuple[tuple[str, ...], str], ...]] = ()
    excludes_elsewhere: ClassVar[tuple[tuple[str, str], ...]] = ()
    float32: ClassVar[str] = ""
    one_device: ClassVar[bool] = True
    searched: ClassVar[bool] = False
    least_epochs: ClassVar[int] = 1
    trained_models: ClassVar[tuple[str, ...]] = ()

    @property
    def is_on(self) -> bool:
        return True

    @property
    def loss_factor(self) -> float:
        """How many times the loss of the labels alone the whole loss of guessing may be."""
        return 1.0

    def outside_files(self) -> Mapping[str, Path | None]:
        """The files from outside of the project that it reads, by the names that count."""
        return {name: trained_file(getattr(self, name)) for name in self.trained_models}
