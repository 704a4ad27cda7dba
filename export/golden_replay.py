"""Asks a format about the images of a golden folder again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export import contract
from export.formats import exporter, formats
from export.golden import FILE_NAME, SCHEMA
from export.interface import TensorType
from pipeline.digest import sha256
from pipeline.errors import ConfigError, DataError


@dataclass(frozen=True)
class Replay:
    """What came of asking a format again.

    Attributes:
        images: how many were asked about.
        wrong: file names of those whose answer lies further off than the tolerance.
        largest_difference: between any probability and the expected one.
        tolerance: what that may be.
        runtime: that answered.
        recorded_runtime: that gave the expected answers.
    """

    images: int
    wrong: tuple[str, ...]
    largest_difference: float
    tolerance: float
    runtime: str
    recorded_runtime: str


def _read(folder: Path) -> Mapping[str, Any]:
    path = folder / FILE_NAME
    try:
        record: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; name a folder that verify made") from None
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error})") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise DataError(f"{path}: has schema {schema}, expected {SCHEMA}")
    return record


def replay(folder: Path, format_name: str, model: Path) -> Replay:
    """Feeds a format the stored bytes and compares its answers with the stored ones.

    Args:
        folder: the golden folder.
        format_name: the format.
        model: its file or folder, or the export artifact that holds it.

    Raises:
        ConfigError: the folder holds nothing for the format, or the artifact another model.
        DataError: a file of the folder is missing or not as long as it should be.
    """
    record = _read(folder)
    entry = record["formats"].get(format_name)
    if entry is None or format_name not in formats():
        available = ", ".join(sorted(record["formats"]))
        raise ConfigError(f"{folder}: holds nothing for {format_name}. Available: {available}")
    _refuse_damaged(folder, (entry["input"], entry["output"], *record["images"]))
    kind = entry["output"]
    type_ = TensorType(kind["dtype"], kind["scale"], kind["zero_point"])
    images, expected = (_read_array(folder, entry[end]) for end in ("input", "output"))
    runtime, stored = _answers(format_name, _model_file(model, record, entry), images)
    given, expected = type_.decode(stored), type_.decode(expected)
    if given.shape != expected.shape:
        raise ConfigError(
            f"{model}: gives {given.shape[1]} probabilities, expected {expected.shape[1]}"
        )
    difference = np.abs(given - expected).max(axis=1)
    off = np.flatnonzero(~(difference <= entry["tolerance"]))
    return Replay(
        images=len(expected),
        wrong=tuple(record["images"][index]["file"] for index in off),
        largest_difference=float(difference.max()),
        tolerance=entry["tolerance"],
        runtime=runtime,
        recorded_runtime=entry["runtime"],
    )


def _answers(format_name: str, path: Path, images: np.ndarray) -> tuple[str, np.ndarray]:
    """The runtime that answered, and the answers as they are stored."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; name the {format_name} with --model")
    try:
        predictor = exporter(format_name).load(format_name, path, 1)
        return predictor.runtime, predictor.run(images)
    except Exception as error:  # a runtime may raise anything on a file that is not its own
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(f"{path}: does not run as {format_name} ({first_line})") from error


def _model_file(model: Path, record: Mapping[str, Any], entry: Mapping[str, Any]) -> Path:
    if not (model / contract.FILE_NAME).is_file():
        return model
    key = contract.read(model).model_key
    if key != record["model_key"]:
        raise ConfigError(
            f"{model}: exported from the model {key}, but the golden images are answers of "
            f"{record['model_key']}; name the file that they belong to with --model"
        )
    return Path(model / entry["file"])


def _read_array(folder: Path, entry: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(entry["dtype"])
    values = np.frombuffer((folder / entry["file"]).read_bytes(), dtype.newbyteorder("<"))
    return values.reshape(entry["shape"]).astype(dtype)


def _refuse_damaged(folder: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    for entry in entries:
        path = folder / entry["file"]
        if not path.is_file() or sha256(path) != entry["sha256"]:
            raise DataError(
                f"{path}: {'is not as' if path.exists() else 'missing, though'} verify wrote it; "
                "copy the golden folder of the run again"
            )
