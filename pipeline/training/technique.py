"""What a technique does around a training, and several of them as one chain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from pipeline.config.schema import TrainSection
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import Shards


@dataclass
class Technique:
    """One way to train otherwise; each hook does nothing unless overridden.

    Attributes:
        name: its key in `train`.
        section: all settings of the training.
        dataset: what it trains on.
        validation: the split that it is judged by.
        say: is told what a person should know before training begins.
    """

    name: ClassVar[str]
    section: TrainSection
    dataset: Description
    validation: LabelledImages | Shards
    say: Callable[[str], None]

    @classmethod
    def is_used(cls, section: TrainSection) -> bool:
        return cls.name in section.techniques

    @property
    def settings(self) -> Any:
        """Its own section of `train`."""
        return getattr(self.section, self.name)

    def prepare(self) -> None:
        """Reads what it needs, and refuses what does not fit, before any network is made."""

    def wrap(self, network: Any) -> Any:
        """What `fit` is to train in place of the network, with the network's weights first."""
        return network

    def compiled(self, model: Any, steps_per_epoch: int) -> None:
        """Changes a model that was just compiled: its loss, its optimizer, its step."""

    def callbacks(self, first_epoch: int) -> Sequence[Any]:
        """What acts while it trains, before all other callbacks; training begins with an epoch."""
        return ()

    def first_epoch(self) -> int:
        """The first epoch, from 0, whose weights may be kept."""
        return 0

    def unwrap(self, network: Any, weights: Sequence[np.ndarray], folder: Path) -> Any:
        """What is published in place of the network.

        Args:
            network: in float32, with the best weights.
            weights: the best of what was trained, those of its own behind the network's.
            folder: the artifact, to which it may add files.
        """
        return network

    def summary(self) -> str:
        """For the line that the stage ends with, after `unwrap`."""
        return ""

    def facts(self) -> dict[str, Any]:
        """For the manifest, after `unwrap`."""
        return {}


@dataclass(frozen=True)
class Chain:
    """Techniques in the order in which each wraps what the one before it gave."""

    techniques: Sequence[Technique] = ()

    def prepare(self) -> None:
        for technique in self.techniques:
            technique.prepare()

    def wrap(self, network: keras.Model) -> keras.Model:
        return reduce(lambda wrapped, technique: technique.wrap(wrapped), self.techniques, network)

    def compiled(self, model: keras.Model, steps_per_epoch: int) -> None:
        for technique in self.techniques:
            technique.compiled(model, steps_per_epoch)

    def callbacks(self, first_epoch: int) -> list[Any]:
        return [c for technique in self.techniques for c in technique.callbacks(first_epoch)]

    def first_epoch(self) -> int:
        return max((technique.first_epoch() for technique in self.techniques), default=0)

    def unwrap(
        self, network: keras.Model, weights: Sequence[np.ndarray], folder: Path
    ) -> keras.Model:
        network.set_weights(weights[: len(network.weights)])
        for technique in reversed(self.techniques):
            network = technique.unwrap(network, weights, folder)
        return network

    def summary(self) -> str:
        return "".join(technique.summary() for technique in self.techniques)

    def facts(self) -> dict[str, Any]:
        return {k: v for technique in self.techniques for k, v in technique.facts().items()}
