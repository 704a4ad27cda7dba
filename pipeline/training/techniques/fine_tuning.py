"""Begins a training from a trained model, as `train.initial_weights` and `fine_tuning` say."""

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.config.schema import TrainSection
from pipeline.training.load_trained import read_trained
from pipeline.training.techniques.freezing import (
    batch_norm_words,
    describe,
    freeze,
    is_batch_norm,
    treatments,
)
from pipeline.training.techniques.layer_learning_rates import set_rates
from pipeline.training.techniques.weight_transfer import take_over


def begin(
    model: Any, section: TrainSection, classes: Sequence[str], say: Callable[[str], None]
) -> dict[str, str]:
    """Takes over the weights that the config names, if it does, and freezes what it says.

    Args:
        model: untrained, not compiled.
        section: names the weights.
        classes: in label order.
        say: is told what was taken over and what trains.

    Returns:
        For the manifest: from which model training begins.

    Raises:
        ConfigError: that model is refused, or does not fit this one.
    """
    if section.initial_weights is None:
        return {}
    wanted = section.fine_tuning
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
    return lineage


def set_rates_of(model: Any, section: TrainSection, steps_per_epoch: int) -> None:
    """Gives the compiled model's optimizer the rate of each layer, where the config has any."""
    if section.initial_weights is None or section.quantization_aware.enabled:
        return
    set_rates(model, treatments(model, section.fine_tuning), steps_per_epoch)
