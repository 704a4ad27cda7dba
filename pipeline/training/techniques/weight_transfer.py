"""Takes the weights of a trained model over into a new one, layer by layer."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.training.load_trained import TrainedModel

COMPUTING = ("scale", "offset", "activation", "strides", "padding", "pool_size")
"""Settings of layers that decide what the weights behind them mean."""


def weighted_layers(model: Any) -> dict[str, Any]:
    """The layers that have weights of their own, by name, from the image on."""
    return {layer.name: layer for layer in _weighted(model)}


def _weighted(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers(include_self=False):
        if layer.weights and not layer._layers:
            yield layer


def take_over(model: Any, ancestor: TrainedModel, classes: Sequence[str], head: str) -> str:
    """Puts the ancestor's weights into the model.

    Args:
        model: untrained; its head keeps its weights where it is to be new.
        ancestor: where the others come from.
        classes: those of the model, in label order.
        head: as in `train.fine_tuning`.

    Returns:
        In words what was done with the head.

    Raises:
        ConfigError: the networks are not the same but for the head, or nothing says whether the
            classes are.
    """
    _refuse_ensemble(ancestor)
    mine, theirs = weighted_layers(model), weighted_layers(ancestor.model)
    last = list(mine)[-1]
    words, is_new = _judge_head(mine[last], list(theirs.values())[-1:], ancestor, classes, head)
    if is_new:
        del mine[last], theirs[list(theirs)[-1]]
    if problems := [*_misfits(mine, theirs), *_otherwise(model, ancestor.model)]:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ConfigError(
            f"{ancestor.path}: does not fit the network of `model`: {'; '.join(problems[:3])}{more}"
            f". {_remedy(model, ancestor.model, problems, last)}"
        )
    for name, layer in mine.items():
        layer.set_weights(theirs[name].get_weights())
    return f"the head {last} {words}"


def _refuse_ensemble(ancestor: TrainedModel) -> None:
    """Refuses a model in which a layer's name does not say which is meant."""
    counts = Counter(layer.name for layer in _weighted(ancestor.model))
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ConfigError(
            f"{ancestor.path}: is an ensemble, in which {counts[twice[0]]} layers are called "
            f"{twice[0]}; name one network, or make it a teacher (train.distillation.teacher)"
        )


def _judge_head(
    mine: Any, theirs: Sequence[Any], ancestor: TrainedModel, classes: Sequence[str], head: str
) -> tuple[str, bool]:
    """How the head begins, in words, and whether it is new."""
    if head in ("new", "nearest_mean"):
        return "is new", True
    fits = bool(theirs) and _shapes(theirs[0]) == _shapes(mine)
    if head == "auto" and not fits:
        return f"is new: {len(classes)} classes, and another number before", True
    if head == "auto" and ancestor.classes is None:
        raise ConfigError(
            f"{ancestor.path}: does not say which {len(classes)} classes its head tells apart; set "
            "train.fine_tuning.head to kept if they are the same, in the same order, else to new"
        )
    if head == "auto" and ancestor.classes != tuple(classes):
        return "is new: the classes are others", True
    return "goes on with the weights it came with", False


def _remedy(model: Any, theirs: Any, problems: Sequence[str], head: str) -> str:
    taken = tuple(theirs.input_shape[1:])
    if taken != tuple(model.input_shape[1:]):
        return f"They took images of {'×'.join(map(str, taken))}; set `data` and `model` as there"
    if all(problem.startswith(f"its layer {head} ") for problem in problems):
        return "For other classes set train.fine_tuning.head=new, else `model` as it was there"
    return "Set `model` as it was where these weights were trained"


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _misfits(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name in (*mine, *(n for n in theirs if n not in mine)):
        if name not in theirs:
            yield f"it lacks the layer {name}"
        elif name not in mine:
            yield f"its layer {name} has no place"
        elif _shapes(mine[name]) != _shapes(theirs[name]):
            found, expected = (_words(layers[name]) for layers in (theirs, mine))
            yield f"its layer {name} has weights of {found}, expected {expected}"


def _words(layer: Any) -> str:
    return " and ".join("×".join(map(str, shape)) or "1" for shape in _shapes(layer))


def _otherwise(mine: Any, theirs: Any) -> Iterator[str]:
    """Layers of one name that compute something else with the same weights."""
    known = {layer.name: layer.get_config() for layer in theirs._flatten_layers(include_self=False)}
    for layer in mine._flatten_layers(include_self=False):
        expected, found = layer.get_config(), known.get(layer.name, {})
        for setting in COMPUTING:
            if setting in found and found[setting] != expected.get(setting):
                yield (
                    f"its layer {layer.name} has {setting} {found[setting]}, expected "
                    f"{expected.get(setting)}"
                )
