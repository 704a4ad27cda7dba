"""The trained model that a setting names, and the classes that an artifact's model tells apart."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.keras_files import load
from pipeline.config.base import CLASSES, trained_file
from pipeline.core.content import sha256
from pipeline.core.errors import ConfigError
from pipeline.store.artifact import Artifact, open_artifact


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained before.

    Attributes:
        path: as the config names it.
        name: which it is, for a person: its key, or the name of its file.
        sha256: of its file.
        model: in float32, not compiled.
        classes: in label order, or None where they are not known.
    """

    path: Path
    name: str
    sha256: str
    model: Any
    classes: tuple[str, ...] | None


def read_trained(path: Path, setting: str) -> TrainedModel:
    """The model; an artifact's files are compared with its manifest first.

    Args:
        path: the folder of a train artifact, a link to it, or a `.keras` file.
        setting: the config key that names it, as it is told.

    Raises:
        ConfigError: it is no trained model, is damaged, of another stage, or can run code.
        DamagedArtifactError: the folder is no artifact.
    """
    file = trained_file(path)
    if file == path:
        return TrainedModel(path, path.name, sha256(path), _load(path, setting), None)
    artifact = _intact(path, setting)
    digest = artifact.manifest["files"][file.name]["sha256"]
    return TrainedModel(path, _lineage(artifact), digest, _load(file, setting), _classes(artifact))


def _load(file: Path, setting: str) -> Any:
    remedy = f"{setting} takes none such; save it again without them, or name another model"
    model = load.load(file, remedy=remedy)
    if not model.built:
        load.refuse_unbuilt(file, [layer.name for layer in model.layers if not layer.built])
    return model


def _intact(folder: Path, setting: str) -> Artifact:
    artifact = open_artifact(folder.resolve())
    if artifact.stage != "train":
        raise ConfigError(
            f"{setting}: {folder} is an artifact of {artifact.stage}; name one of train"
        )
    if damage := artifact.damage:
        raise ConfigError(f"{setting}: {damage}; `check` says how to mend it; or name another")
    if load.MODEL not in artifact.manifest["files"]:
        raise ConfigError(f"{setting}: {folder} holds no {load.MODEL}; name another")
    return artifact


def _lineage(artifact: Artifact) -> str:
    """`train 0123456789abcdef`, and what that began from in turn."""
    before = artifact.manifest["metrics"].get("begun_from")
    return f"train {artifact.key}" + (f", begun from {before}" if before else "")


def write_classes(folder: Path, classes: Sequence[str]) -> None:
    """Says in an artifact what its model tells apart, in label order."""
    text = json.dumps(list(classes), ensure_ascii=False)
    (folder / CLASSES).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _classes(artifact: Artifact) -> tuple[str, ...] | None:
    if CLASSES not in artifact.manifest["files"]:
        return None
    try:
        return tuple(map(str, json.loads((artifact.path / CLASSES).read_text(encoding="utf-8"))))
    except (ValueError, TypeError):
        return None
