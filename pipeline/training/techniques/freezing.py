"""Which layers of a trained model stay as they are, which begin to train later, and how fast."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras

from pipeline.config.train.fine_tuning import FineTuning
from pipeline.core.errors import ConfigError
from pipeline.training.techniques.weight_transfer import weighted_layers


class Treatment(NamedTuple):
    """How training treats a layer.

    Attributes:
        layer: the layer.
        factor: what the learning rate is multiplied by.
        first_epoch: the epoch, from 0, from which on it trains; None if it never does.
    """

    layer: Any
    factor: float
    first_epoch: int | None

    @property
    def name(self) -> str:
        return str(self.layer.name)


def treatments(model: Any, section: FineTuning) -> list[Treatment]:
    """How each layer that has weights is treated, from the image on.

    Raises:
        ConfigError: the config names layers that there are not, or freezes what must train.
    """
    layers = weighted_layers(model)
    *backbone, head = layers
    frozen = _frozen(section, backbone, head)
    _refuse_unknown("rate_factors", section.rate_factors, layers)
    first = _first_epochs([layers[n] for n in backbone if n in frozen], section)
    found = [
        Treatment(
            layer,
            section.rate_factors.get(name, 1.0),
            None if section.freeze_batch_norm and is_batch_norm(layer) else first.get(name, 0),
        )
        for name, layer in layers.items()
    ]
    for treatment in found:
        if treatment.first_epoch is None and treatment.name in section.rate_factors:
            raise ConfigError(
                f"train.fine_tuning.rate_factors names {treatment.name}, which is frozen; take it "
                "out there or in freeze and freeze_batch_norm"
            )
    return found


def is_batch_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _frozen(section: FineTuning, backbone: list[str], head: str) -> set[str]:
    if section.freeze == "none":
        return set()
    if section.freeze == "all_but_head":
        return set(backbone)
    if head in section.freeze:
        raise ConfigError(f"train.fine_tuning.freeze names {head}, the head; it has to train")
    _refuse_unknown("freeze", section.freeze, backbone)
    return set(section.freeze)


def _refuse_unknown(key: str, names: Iterable[str], layers: Iterable[str]) -> None:
    for name in names:
        if name not in layers:
            raise ConfigError(
                f"train.fine_tuning.{key} names {name!r}, which is no layer with weights. "
                f"Available: {', '.join(layers)}"
            )


def _first_epochs(frozen: list[Any], section: FineTuning) -> dict[str, int | None]:
    """The epoch in which each frozen layer begins to train; batch norm goes with its layer."""
    every, turn = section.unfreeze_every_epochs, 1
    found: dict[str, int | None] = {}
    for layer in reversed(frozen):
        found[layer.name] = every and every * turn
        turn += not is_batch_norm(layer)
    return found


def freeze(found: Iterable[Treatment], section: FineTuning) -> None:
    """Makes layers that never train untrainable, before the model is compiled.

    Batch norm of a frozen layer may still follow the images with its statistics: then only its
    weights are frozen.
    """
    for treatment in found:
        if treatment.first_epoch is None:
            if is_batch_norm(treatment.layer) and not section.freeze_batch_norm:
                for weight in treatment.layer.trainable_weights:
                    weight.trainable = False
            else:
                treatment.layer.trainable = False


def describe(found: list[Treatment], section: FineTuning, epochs: int) -> Iterator[str]:
    """In words what trains and what does not."""
    layers = [treatment for treatment in found if not is_batch_norm(treatment.layer)]
    frozen = [t.name for t in layers if t.first_epoch is None]
    if frozen:
        yield f"frozen: {', '.join(frozen)}"
    later = [t for t in reversed(layers) if t.first_epoch]
    if later:
        turns = (f"{t.name} from epoch {t.first_epoch + 1}" for t in later if t.first_epoch)
        too_late = [t.name for t in later if t.first_epoch and t.first_epoch >= epochs]
        never = f" ({epochs} epochs end before {', '.join(too_late)})" if too_late else ""
        yield f"frozen at first, and training later: {', '.join(turns)}{never}"
    if factors := [f"{t.name} × {t.factor:g}" for t in found if t.factor != 1]:
        yield f"learning rate of {', '.join(factors)}"
    if len(layers) < len(found):
        yield f"batch norm {batch_norm_words(section)}"


def batch_norm_words(section: FineTuning) -> str:
    if section.freeze_batch_norm:
        return "frozen: it computes with the statistics that it came with"
    return "not frozen: its statistics follow the images of this training"
