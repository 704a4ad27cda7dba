"""Takes the weights of a trained model over into a new one, layer by layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.model_files import model_file
from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.digest import sha256
from pipeline.config_fine_tuning import BegunFrom
from pipeline.data import description
from pipeline.errors import ConfigError
from pipeline.training.named_artifact import named_artifact

COMPUTING = ("scale", "offset", "activation", "strides", "padding", "pool_size")
"""Settings of layers that decide what the weights behind them mean."""


@dataclass(frozen=True)
class Ancestor:
    """A trained model to begin from.

    Attributes:
        path: as the config names it.
        name: which it is, for a person: its key, or the name of its file.
        sha256: of its file.
        model: the model.
        classes: in label order, or None where they are not known.
    """

    path: Path
    name: str
    sha256: str
    model: Any
    classes: tuple[str, ...] | None


def read_ancestor(section: BegunFrom) -> Ancestor:
    """The model of `initial_weights`; an artifact's files are compared with its manifest first.

    Raises:
        ConfigError: it is no trained model, is damaged, or can run code.
        DamagedArtifactError: the folder is no artifact.
    """
    path, file = section.initial_weights, section.initial_model
    assert path is not None
    assert file is not None
    if file == path:
        return Ancestor(path, path.name, sha256(path), model_file.load(path), None)
    artifact = named_artifact(path, "train.initial_weights")
    model = model_file.load_published(file, is_trusted=False)
    digest = artifact.manifest["files"][file.name]["sha256"]
    return Ancestor(path, _lineage(artifact), digest, model, _classes(artifact))


def _lineage(artifact: Artifact) -> str:
    """`train 0123456789abcdef`, and what that began from in turn."""
    before = artifact.manifest["metrics"].get("begun_from")
    return f"train {artifact.key}" + (f", begun from {before}" if before else "")


def _classes(artifact: Artifact) -> tuple[str, ...] | None:
    """Those of the images that it was trained on, where their artifact is still beside it."""
    key = artifact.manifest["inputs"].get("ingest", {}).get("key", "")
    folder = artifact.path.parent.parent / "ingest" / str(key)
    try:
        return description.read(folder).classes
    except (OSError, ValueError, LookupError, TypeError):
        return None


def weighted_layers(model: Any) -> dict[str, Any]:
    """The layers that have weights of their own, by name, from the image on."""
    layers = model._flatten_layers(include_self=False)
    return {layer.name: layer for layer in layers if layer.weights and not layer._layers}


def take_over(model: Any, ancestor: Ancestor, classes: Sequence[str], head: str) -> str:
    """Puts the ancestor's weights into the model.

    Args:
        model: untrained; its head keeps its weights where it is to be new.
        ancestor: where the others come from.
        classes: those of the model, in label order.
        head: as in `train.fine_tuning`.

    Returns:
        In words what was done with the head.

    Raises:
        ConfigError: the networks are not the same but for the head.
    """
    mine, theirs = weighted_layers(model), weighted_layers(ancestor.model)
    last = list(mine)[-1]
    words, is_new = _judge_head(mine[last], list(theirs.values())[-1:], ancestor, classes, head)
    if is_new:
        del mine[last], theirs[list(theirs)[-1]]
    if problems := [*_misfits(mine, theirs), *_otherwise(model, ancestor.model)]:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ConfigError(
            f"{ancestor.path}: does not fit the network of `model`: {'; '.join(problems[:3])}{more}"
            ". Set `model` as it was where these weights were trained"
        )
    for name, layer in mine.items():
        layer.set_weights(theirs[name].get_weights())
    return f"the head {last} {words}"


def _judge_head(
    mine: Any, theirs: Sequence[Any], ancestor: Ancestor, classes: Sequence[str], head: str
) -> tuple[str, bool]:
    """How the head begins, in words, and whether it is new."""
    if head in ("new", "nearest_mean"):
        return "is new", True
    fits = bool(theirs) and _shapes(theirs[0]) == _shapes(mine)
    if head == "auto" and not fits:
        return f"is new: {len(classes)} classes, and another number before", True
    if head == "auto" and ancestor.classes not in (None, tuple(classes)):
        return "is new: the classes are others", True
    if head == "auto" and ancestor.classes is None:
        return (
            "goes on with the weights it came with: what its classes were is not known "
            "(train.fine_tuning.head=new makes it new)"
        ), False
    return "goes on with the weights it came with", False


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
