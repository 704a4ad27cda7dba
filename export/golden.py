"""`golden/`: some test images, as each format takes them, with the answers that it must give.

Small enough to ship in an app's own tests. Files ending in `.bin` hold raw bytes, little-endian,
in C order, just as a format takes or gives them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export import contract
from export.contract import Contract
from export.formats import exporter, formats
from export.interface import TensorType
from pipeline.digest import sha256
from pipeline.errors import ConfigError, DataError
from pipeline.sources import LabelledImages

FOLDER = "golden"
FILE_NAME = "golden.json"
SCHEMA = 1
LEAST = 32


@dataclass(frozen=True)
class Choice:
    """One image of the test split, by its index there, why it was taken, and its file if known."""

    index: int
    why: str
    file: str | None = None


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


def choose(probabilities: np.ndarray, labels: np.ndarray, least: int = LEAST) -> list[Choice]:
    """Picks the easiest and the hardest image of each class, then the hardest of all.

    Args:
        probabilities: Keras', float32 (images, classes).
        labels: int64 (images,).
        least: how many images to take, if there are as many; all classes fit in any case.
    """
    given = probabilities[np.arange(len(labels)), labels]
    hardest_first = np.argsort(given, kind="stable")
    chosen: dict[int, str] = {}
    for why, order in (("easiest", hardest_first[::-1]), ("hardest", hardest_first)):
        for index in _first_of_each_class(labels, order):
            chosen.setdefault(index, f"{why} of class {labels[index]}")
    for index in hardest_first.tolist():
        if len(chosen) >= least:
            break
        chosen.setdefault(index, "among the hardest of all")
    return [Choice(index, why) for index, why in chosen.items()]


def _first_of_each_class(labels: np.ndarray, order: np.ndarray) -> list[int]:
    _, firsts = np.unique(labels[order], return_index=True)
    indices: list[int] = order[firsts].tolist()
    return indices


@dataclass(frozen=True)
class Answers:
    """A format's answers to the whole test split: float32 (images, classes), and who gave them."""

    probabilities: np.ndarray
    runtime: str


def write(
    folder: Path,
    test: LabelledImages,
    answers: Mapping[str, Answers],
    promised: Contract,
    choices: Sequence[Choice],
) -> None:
    """Writes the folder.

    Args:
        folder: it is made.
        test: the test split.
        answers: of each format that ran, by name.
        promised: how each format stores numbers.
        choices: which images.
    """
    for name in ("images", "inputs", "expected"):
        (folder / name).mkdir(parents=True)
    chosen = test.select(np.array([choice.index for choice in choices]))
    entries = {}
    for name, given in answers.items():
        picked = [given.probabilities[choice.index] for choice in choices]
        entries[name] = {
            **_write_format(folder, name, promised, chosen.images, np.stack(picked)),
            "runtime": given.runtime,
        }
    record = {
        "schema": SCHEMA,
        "model_key": promised.model_key,
        "data_key": promised.data_key,
        "labels": promised.output.labels,
        "images": list(_write_images(folder, chosen, choices)),
        "formats": entries,
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / FILE_NAME).write_text(text + "\n", "utf-8")


def _write_images(
    folder: Path, chosen: LabelledImages, choices: Sequence[Choice]
) -> Iterator[dict[str, Any]]:
    from PIL import Image

    for number, choice in enumerate(choices):
        pixels, label = chosen.images[number], int(chosen.labels[number])
        file = f"images/{number:02}.png"
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(folder / file)
        yield {
            "file": file,
            "sha256": sha256(folder / file),
            "label": label,
            "test_index": choice.index,
            "why": choice.why,
            **({"test_file": choice.file} if choice.file else {}),
        }


def _write_format(
    folder: Path, name: str, promised: Contract, images: np.ndarray, probabilities: np.ndarray
) -> dict[str, Any]:
    types = promised.formats[name]
    stored, expected = types.input.encode(images), types.output.encode(probabilities)
    return {
        "file": types.file,
        "input": _write_array(folder, f"inputs/{types.input.dtype}.bin", stored),
        "output": {
            **_write_array(folder, f"expected/{name}.bin", expected),
            "scale": types.output.scale,
            "zero_point": types.output.zero_point,
        },
        "tolerance": formats()[name].tolerance,
    }


def _write_array(folder: Path, file: str, array: np.ndarray) -> dict[str, Any]:
    little_endian = array.dtype.newbyteorder("<")
    (folder / file).write_bytes(array.astype(little_endian).tobytes())
    return {
        "file": file,
        "sha256": sha256(folder / file),
        "dtype": array.dtype.name,
        "shape": list(array.shape),
    }


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
