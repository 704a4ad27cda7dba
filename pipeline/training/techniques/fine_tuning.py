"""Begins a training from a trained model, as `train.initial_weights` and `fine_tuning` say."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.config.schema import TrainSection
from pipeline.training.load_trained import read_trained
from pipeline.training.technique import Technique
from pipeline.training.techniques.freezing import (
    Treatment,
    batch_norm_words,
    describe,
    freeze,
    is_batch_norm,
    treatments,
)
from pipeline.training.techniques.layer_learning_rates import set_rates
from pipeline.training.techniques.weight_transfer import take_over


class FineTuning(Technique):
    """Begins from the weights that the config names; some layers stay, or train more slowly."""

    name = "fine_tuning"

    @classmethod
    def is_used(cls, section: TrainSection) -> bool:
        return section.initial_weights is not None

    def wrap(self, network: Any) -> Any:
        self._lineage, self._treatments = begin(
            network, self.section, self.dataset.classes, self.say
        )
        return network

    def compiled(self, model: Any, steps_per_epoch: int) -> None:
        set_rates(model, self._treatments, steps_per_epoch)

    def facts(self) -> dict[str, Any]:
        return self._lineage


def begin(
    model: Any, section: TrainSection, classes: Sequence[str], say: Callable[[str], None]
) -> tuple[dict[str, str], list[Treatment]]:
    """Takes over the weights that the config names, and freezes what it says.

    Args:
        model: untrained, not compiled.
        section: names the weights.
        classes: in label order.
        say: is told what was taken over and what trains.

    Returns:
        For the manifest, from which model training begins; and how each layer is treated.

    Raises:
        ConfigError: that model is refused, or does not fit this one.
    """
    wanted = section.fine_tuning
    assert section.initial_weights is not None
    ancestor = read_trained(section.initial_weights, "train.initial_weights")
    head = take_over(model, ancestor, classes, wanted.head)
    found = treatments(model, wanted)
    freeze(found, wanted)
    say(
        "; ".join(
            (f"begins from {ancestor.name}; {head}", *describe(found, wanted, section.epochs))
        )
    )
    lineage = {"begun_from": ancestor.name, "begun_from_sha256": ancestor.sha256}
    if any(is_batch_norm(t.layer) for t in found):
        lineage["batch_norm"] = batch_norm_words(wanted)
    return lineage, found
