"""Reads a CSV file row by row, plain or gzipped, trusting nothing that it holds."""

import csv
import gzip
import reprlib
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BeforeValidator

from pipeline.config.schema import DataSection
from pipeline.core.content import HEAD_BYTES, kind_of_bytes
from pipeline.core.errors import DataError
from pipeline.data.images.decoding import SUFFIXES

GZIPPED = b"\x1f\x8b"
LONGEST_ROW_BYTES = 2**20
MOST_QUOTES = 100
PIECE_BYTES = 2**20
OPEN_QUOTE = "unexpected end of data"
PIXELS = {str(value): value for value in range(256)}
Rows = Iterator[tuple[int, list[str]]]
Lines = Iterator[tuple[int, bytes]]


def _name(value: Any) -> Any:
    """A column of a table without a header is called by its number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Column = Annotated[str, BeforeValidator(_name)]


class TableOptions(DataSection):
    """How a table is split into rows and columns.

    Attributes:
        header: whether the first line names the columns; without it they are called 1, 2 and so
            on, and the first is that of the labels unless `label_column` says otherwise.
        delimiter: what stands between two columns.
    """

    header: bool = True
    delimiter: Literal[",", ";", "\t", "|"] = ","


@dataclass(frozen=True)
class Remedies:
    """What to do about a table, in words for whoever gives settings; `predict` takes none.

    Attributes:
        delimiter: about a line that is not split.
        header: about a table without one.
        column: about one that is missing; `{}` is the option that names it.
        pixels: about columns that are not as many as the pixels of an image.
        count: about a row whose pixels, in one column, are not as many.
        pixels_column: about a value that holds all pixels; `{}` is its column.
        path_column: about a value that names a file; `{}` is its column.
        number: about a number that is none of 0..255; None where the range of all will tell.
        pixel_range: about a number that is out of the range; likewise.
        said: by what the range is known.
        folder: about paths without the folder that they start from.
        outside: about a path that leads out of it.
        suffix: about paths without their ending; `{}` is that.
    """

    delimiter: str = "Set data.delimiter to what stands between the columns."
    header: str = "Write one above the rows, or set data.header=false."
    column: str = "Correct data.{}."
    pixels: str = "Drop the columns that are none, or set data.image_shape."
    count: str = "Correct the row, or set data.image_shape."
    pixels_column: str = "Set data.pixels_column={} if it holds all pixels of an image."
    path_column: str = "Set data.path_column={} if it names the images' files."
    number: str | None = None
    pixel_range: str | None = None
    said: str = "as data.pixel_range says"
    folder: str = "Put it there, or set data.image_folder."
    outside: str = "Correct it, or set data.image_folder to a folder that holds all pictures."
    suffix: str = "Set data.path_suffix={}."


SETTINGS = Remedies()


@dataclass(frozen=True)
class Table:
    """A table that is being read.

    Attributes:
        path: the file.
        names: of its columns; `1`, `2` and so on where it has no header.
        rows: each row's line and values.
        remedies: what errors say is to be done.
    """

    path: Path
    names: list[str]
    rows: Rows
    remedies: Remedies = SETTINGS


def open_table(
    path: Path, delimiter: str, remedies: Remedies = SETTINGS, *, has_header: bool = True
) -> Table:
    """Reads the header."""
    rows = read_rows(path, delimiter)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: is empty. Expected a header and a row for each image.")
    names = first[1]
    if len(names) == 1:
        raise DataError(
            f"{path}: line 1: one column, {excerpt(names[0])}, when split at {delimiter!r}. "
            f"{remedies.delimiter}"
        )
    if not has_header:
        return Table(
            path, [str(n) for n in range(1, len(names) + 1)], chain([first], rows), remedies
        )
    _refuse_header(path, names, remedies)
    return Table(path, names, rows, remedies)


def read_rows(path: Path, delimiter: str) -> Rows:
    """The line that each row begins on, and its values; only within quotes does a line go on.

    No row may be longer than `LONGEST_ROW_BYTES`, so that none can grow without bound.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW_BYTES))
    with _opened(path) as file:
        lines: Lines = enumerate(iter(lambda: file.readline(LONGEST_ROW_BYTES + 1), b""), 1)
        for number, content in lines:
            where = f"{path}: line {number}"
            if text := _decoded(where, content, is_first=number == 1).rstrip("\r\n"):
                yield number, _parsed(where, text, delimiter, lines)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            is_gzipped = file.peek(2)[:2] == GZIPPED
        with gzip.open(path) if is_gzipped else path.open("rb") as file:
            if kind := kind_of_bytes(file.peek(HEAD_BYTES)[:HEAD_BYTES]):
                remedy = "Unpack it" if kind.endswith("archive") else "Download it again"
                raise DataError(f"{path}: is {kind}, expected a CSV table. {remedy}.")
            yield file  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged archive ({error}). Download it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the file.") from error


def count_lines(path: Path) -> int:
    """Of the text, unpacked where it is packed."""
    with _opened(path) as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(PIECE_BYTES), b""))


def _decoded(where: str, content: bytes, *, is_first: bool = False) -> str:
    if len(content) > LONGEST_ROW_BYTES:
        raise DataError(
            f"{where}: longer than {LONGEST_ROW_BYTES:,} bytes. Expected a line for each image, "
            "of 512×512 pixels at the most; give larger images as files."
        )
    if b"\0" in content:
        raise DataError(f"{where}: holds a NUL byte. Save the table again as CSV in UTF-8.")
    try:
        return content.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: is no UTF-8 text. Save the table as CSV in UTF-8.") from error


def _parsed(where: str, text: str, delimiter: str, lines: Lines) -> list[str]:
    for _ in range(MOST_QUOTES):
        try:
            return next(csv.reader([text], delimiter=delimiter, strict=True))
        except csv.Error as error:
            more = _to_next_quote(where, lines, len(text)) if str(error) == OPEN_QUOTE else ""
            if not more:
                raise DataError(f"{where}: cannot be read ({error}). Correct the line.") from error
            text = f"{text}\n{more}"
    raise DataError(f"{where}: its quotes do not match. Correct the line.")


def _to_next_quote(where: str, lines: Lines, length: int) -> str:
    """The lines up to the one that may close a quote; empty where there are no more."""
    found: list[str] = []
    for _, content in lines:
        found.append(_decoded(where, content).rstrip("\r\n"))
        length += len(content)
        if length > LONGEST_ROW_BYTES:
            raise DataError(
                f"{where}: a quote that is not closed within {LONGEST_ROW_BYTES:,} bytes. Close it."
            )
        if found[-1].count('"') % 2:
            break
    return "\n".join(found)


def _refuse_header(path: Path, names: list[str], remedies: Remedies) -> None:
    if "" in names:
        raise DataError(
            f"{path}: line 1: column {names.index('') + 1} has no name. Name it, or write the "
            "table without the column of row numbers."
        )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None and holds_values(names):
        raise DataError(
            f"{path}: line 1: holds values, expected a header: the names of the columns. "
            f"{remedies.header}"
        )
    if twice is not None:
        raise DataError(f"{path}: line 1: two columns named {excerpt(twice)}. Rename or drop one.")


def holds_values(names: list[str]) -> bool:
    """Whether a first line is no header, but a row of pixels or one with a picture's file."""
    is_row_of_pixels = sum(name in PIXELS for name in names) >= max(2, len(names) - 1)
    return is_row_of_pixels or any(name.lower().endswith(SUFFIXES) for name in names)


def refuse_ragged(where: str, row: list[str], names: list[str]) -> None:
    if len(row) != len(names):
        raise DataError(
            f"{where}: {len(row):,} values, expected {len(names):,} as in the header. "
            "Correct the row."
        )


def no_row(path: Path) -> DataError:
    return DataError(f"{path}: has no row after its header. Add images, or name another file.")


def excerpt(text: str) -> str:
    return reprlib.repr(text)
