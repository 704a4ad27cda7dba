"""Asks a format about the images of a golden folder again.

Folder and file may come from anywhere: the record is held against what verify writes, the file is
looked into before its runtime is, and the runtime runs in a child process.
"""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from export.formats import contract
from export.formats.format import exporter, formats, refuse_external_access
from export.formats.tensors import TensorType
from export.verification.golden import FILE_NAME, FOLDER, SCHEMA
from pipeline.core import child_process
from pipeline.core.content import sha256
from pipeline.core.errors import ConfigError, DataError, PipelineError
from pipeline.core.text import first_line

ANSWER = "export.verification.golden_replay:answer"
TIMEOUT_SECONDS = 300.0
MOST_BYTES = 1 << 26
MOST_MEMORY_BYTES = 1 << 34  # of addresses, of which TensorFlow takes a third without a model
AGAIN = "copy the golden folder of the run again"

Size = Annotated[int, Field(ge=0)]


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


@dataclass(frozen=True)
class Listed:
    """A file of the folder, by the record."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Numbers(Listed):
    """A file of numbers; `scale` and `zero_point` say what those of answers stand for."""

    dtype: Literal["float32", "uint8", "int8"]
    shape: Annotated[tuple[Size, ...], Field(min_length=2, max_length=4)]
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Answers(Numbers):
    """One row of probabilities for each image."""

    shape: Annotated[tuple[Size, ...], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Entry:
    """What the record holds for a format."""

    input: Numbers
    output: Answers
    tolerance: float
    runtime: str


@dataclass(frozen=True)
class Record:
    """What is read of `golden.json`."""

    model_key: str
    images: tuple[Listed, ...]
    formats: Mapping[str, Entry]


_RECORD = TypeAdapter(Record)


def _read(folder: Path) -> Record:
    path = folder / FILE_NAME
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: has more than {MOST_BYTES:,} bytes; {AGAIN}")
        values: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        below = [folder / name for name in (FOLDER, f"verify/{FOLDER}")]
        made = next((place for place in below if (place / FILE_NAME).is_file()), None)
        hint = f"did you mean {made}?" if made else "name a folder that verify made"
        raise DataError(f"{path}: there is no such file; {hint}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({error})") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise DataError(f"{path}: has schema {schema}, expected {SCHEMA}")
    try:
        return _RECORD.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg'].lower()}; {AGAIN}") from error


def held_formats(folder: Path) -> list[str]:
    """The formats whose answers a golden folder holds.

    Raises:
        DataError: it is no golden folder.
    """
    return sorted(_read(folder).formats)


def replay(folder: Path, format_name: str, model: Path) -> Replay:
    """Feeds a format the stored bytes and compares its answers with the stored ones.

    `model` is the format's file or folder, or the export artifact that holds it.

    Raises:
        ConfigError: the folder holds nothing for the format, or the file is refused or of another
            model.
        DataError: a file of the folder is missing or not as it should be.
    """
    record = _read(folder)
    entry = record.formats.get(format_name)
    if entry is None or format_name not in formats():
        available = ", ".join(sorted(record.formats))
        raise ConfigError(f"{folder}: holds nothing for {format_name}. Available: {available}")
    _refuse_damaged(folder, (entry.input, entry.output, *record.images))
    _refuse_other_counts(folder, record, entry)
    type_ = TensorType(entry.output.dtype, entry.output.scale, entry.output.zero_point)
    images, expected = (_read_array(folder, end) for end in (entry.input, entry.output))
    runtime, stored = _answers(format_name, _model_file(model, record, format_name), images)
    given, expected = type_.decode(stored), type_.decode(expected)
    if given.shape != expected.shape:
        raise ConfigError(
            f"{model}: gives answers of shape {given.shape[1:]}, expected {expected.shape[1:]}"
        )
    difference = np.abs(given - expected).max(axis=1)
    off = np.flatnonzero(~(difference <= entry.tolerance))
    return Replay(
        images=len(expected),
        wrong=tuple(record.images[index].file for index in off),
        largest_difference=float(difference.max()),
        tolerance=entry.tolerance,
        runtime=runtime,
        recorded_runtime=entry.runtime,
    )


def _answers(format_name: str, path: Path, images: np.ndarray) -> tuple[str, np.ndarray]:
    """The runtime that answered, and the answers as they are stored."""
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; name the {format_name} with --model")
    with TemporaryDirectory() as folder:
        given, answers = Path(folder) / "images.npy", Path(folder) / "answers.npy"
        np.save(given, images)
        argument = {
            "format_name": format_name,
            "path": str(path.resolve()),
            "images": str(given),
            "answers": str(answers),
        }
        outcome = child_process.call(ANSWER, argument, timeout_seconds=TIMEOUT_SECONDS)
        (said,) = outcome.values or ({"problem": outcome.failure},)
        if refused := said.get("refused"):
            raise ConfigError(refused)
        if problem := said.get("problem"):
            raise ConfigError(
                f"{path}: does not run as {format_name} ({problem}); name a file that this "
                "program exported"
            )
        return said["runtime"], np.load(answers)


def answer(argument: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The child's side: writes the answers and yields who gave them, or why there are none."""
    name, path = argument["format_name"], Path(argument["path"])
    _limit_memory()
    try:
        refuse_external_access(name, path)
        predictor = exporter(name).load(path, 1)
        np.save(argument["answers"], predictor.run(np.load(argument["images"])))
    except PipelineError as error:
        yield {"refused": str(error)}
    except Exception as error:  # a runtime may raise anything on a file that is not its own
        yield {"problem": first_line(error) or type(error).__name__}
    else:
        yield {"runtime": predictor.runtime}


def _limit_memory() -> None:
    """Allows so much and no more, or less where less was allowed before; on Linux alone.

    Windows has no such limit, and a Mac refuses it.
    """
    if sys.platform != "linux":
        return
    import resource

    given = resource.getrlimit(resource.RLIMIT_AS)
    most = min([MOST_MEMORY_BYTES, *(size for size in given if size != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _model_file(model: Path, record: Record, format_name: str) -> Path:
    if not (model / contract.FILE_NAME).is_file():
        return model
    key = contract.read(model).model_key
    if key != record.model_key:
        raise ConfigError(
            f"{model}: exported from the model {key}, but the golden images are answers of "
            f"{record.model_key}; name the file that they belong to with --model"
        )
    return model / formats()[format_name].path


def _read_array(folder: Path, entry: Numbers) -> np.ndarray:
    dtype, path = np.dtype(entry.dtype), folder / entry.file
    values = np.frombuffer(path.read_bytes(), dtype.newbyteorder("<"))
    return values.reshape(entry.shape).astype(dtype)


def _refuse_damaged(folder: Path, entries: Iterable[Listed]) -> None:
    for entry in entries:
        path = folder / entry.file
        # resolve() raises where links form a loop
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise DataError(f"{folder / FILE_NAME}: names {entry.file!r} outside of it; {AGAIN}")
        if not path.is_file() or sha256(path) != entry.sha256:
            raise DataError(
                f"{path}: {'is not as' if path.exists() else 'missing, though'} verify wrote it; "
                f"{AGAIN}"
            )


def _refuse_other_counts(folder: Path, record: Record, entry: Entry) -> None:
    for numbers in (entry.input, entry.output):
        size = math.prod(numbers.shape) * np.dtype(numbers.dtype).itemsize
        found = (folder / numbers.file).stat().st_size
        if size != found or numbers.shape[0] != len(record.images):
            raise DataError(
                f"{folder / numbers.file}: has {found:,} bytes, but {FILE_NAME} says "
                f"{numbers.shape} of {numbers.dtype} for {len(record.images)} images; {AGAIN}"
            )
