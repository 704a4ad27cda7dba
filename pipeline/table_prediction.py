"""Answers each row of a pixel table with an exported format, and writes a table of the answers."""

import csv
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from uuid import uuid4

from export import contract
from export.formats import opened
from pipeline.artifacts.artifact import open_artifact
from pipeline.errors import ConfigError, DataError
from pipeline.progress import Progress
from pipeline.sources._csv_rows import read_unlabelled

if TYPE_CHECKING:
    import numpy as np

PIXELS_A_BATCH = 2**19
PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Tables:
    """The table that is read and the one that is written.

    Attributes:
        pixels: a row an image, a column a pixel, no labels.
        answers: gets a row an image: its number, counted from 1, and the name of its class.
        columns: the names of these two.
    """

    pixels: Path
    answers: Path
    columns: tuple[str, str]


def asked(files: Sequence[Path], output: Path | None, columns: str) -> Tables | None:
    """The tables of a call of `predict`; none if it names pictures alone.

    Raises:
        ConfigError: it names a table and other files, nowhere for the answers, or no two columns.
    """
    found = files[0] if output else next((f for f in files if f.suffix.lower() == ".csv"), None)
    if found is None:
        return None
    if len(files) > 1:
        raise ConfigError(f"{found} is a table, and stands beside other files; name it alone")
    if output is None:
        raise ConfigError(f"{found} is a table; say where its answers go with --output FILE")
    names = columns.split(",")
    if len(names) != 2 or not all(names):
        raise ConfigError(f"--columns {columns!r}; expected two names, such as ImageId,Label")
    return Tables(found, output, (names[0], names[1]))


def predict_table(tables: Tables, export_folder: Path, format_name: str, progress: Progress) -> int:
    """Writes the answers once all are there; pixels are taken as they are.

    Returns:
        The number of images.

    Raises:
        ConfigError: the artifact lacks the format, or the answers cannot be written there.
        DataError: the table is missing or damaged, or does not fit the model.
    """
    from pipeline.prediction import file_of

    promised = contract.read(export_folder)
    path = file_of(promised, format_name, export_folder)
    lines = _count_lines(tables.pixels)
    _check_target(tables)
    rows = read_unlabelled(tables.pixels, _delimiter(export_folder), promised.input.shape)
    answer = opened(format_name, path)
    done = 0
    with _replacing(tables.answers) as stream, progress.task("predict", lines - 1) as task:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(tables.columns)
        for images in _batches(rows, promised.input.shape):
            for number, label in enumerate(answer(images).argmax(axis=1), done + 1):
                writer.writerow((number, promised.output.labels[label]))
            done += len(images)
            task.advance(len(images))
    return done


def _delimiter(export_folder: Path) -> str:
    """That of the training images' table, if they came from one."""
    data = open_artifact(export_folder).manifest["config"]["data"]
    return str(data.get("delimiter", ","))


def _batches(rows: Iterator[bytes], shape: tuple[int, int, int]) -> Iterator["np.ndarray"]:
    """As many images as fit a batch: uint8 (count, height, width, channels)."""
    import numpy as np

    count = max(1, PIXELS_A_BATCH // math.prod(shape))
    while batch := b"".join(islice(rows, count)):
        yield np.frombuffer(batch, np.uint8).reshape(-1, *shape)


def _count_lines(path: Path) -> int:
    if not path.is_file():
        raise DataError(f"{path}: no such file. Name a table of pixels.")
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(PIECE_BYTES), b""))


def _check_target(tables: Tables) -> None:
    target = tables.answers
    if not target.parent.is_dir():
        raise ConfigError(f"--output {target}: there is no folder {target.parent}; make it first")
    if target.exists():
        if not target.is_file():
            raise ConfigError(f"--output {target}: is no file; name one for the answers")
        if target.samefile(tables.pixels):
            raise ConfigError(f"--output {target}: is the table itself; name another file")


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Gives a new file that takes the place of `path` once it is whole, and else is gone."""
    target = path.resolve()
    temporary = target.with_name(f".{uuid4().hex}.part")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise ConfigError(
            f"--output {path}: cannot be written ({error.strerror or error}); name another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
