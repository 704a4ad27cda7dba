"""Reads a CSV file of pixels row by row, trusting nothing that it holds."""

import csv
import itertools
import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DataError
from pipeline.file_kinds import kind_of_bytes

LONGEST_ROW_BYTES = 2**20
MOST_SHOWN = 3
PIXELS = {str(value): value for value in range(256)}
Rows = Iterator[tuple[int, list[str]]]


def read_rows(path: Path, delimiter: str) -> Rows:
    """Each line's number and values. A row is one line, so that none can grow without bound."""
    try:
        with path.open("rb") as file:
            for number in itertools.count(1):
                content = file.readline(LONGEST_ROW_BYTES + 1)
                if not content:
                    return
                if text := _decoded(f"{path}: line {number}", content, is_first=number == 1):
                    yield number, _parsed(f"{path}: line {number}", text, delimiter)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the file.") from error


def _decoded(where: str, content: bytes, is_first: bool) -> str:
    if len(content) > LONGEST_ROW_BYTES:
        raise DataError(
            f"{where}: longer than {LONGEST_ROW_BYTES:,} bytes. Expected a line for each image, "
            "of 512×512 pixels at the most; give larger images as files."
        )
    if b"\0" in content:
        raise DataError(f"{where}: holds a NUL byte. Save the table again as CSV in UTF-8.")
    try:
        text = content.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: is no UTF-8 text. Save the table as CSV in UTF-8.") from error
    return text.rstrip("\r\n")


def _parsed(where: str, text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{where}: cannot be read ({error}). Correct the line.") from error


def read_header(path: Path, rows: Rows, delimiter: str, remedy: str) -> list[str]:
    """The names of the columns; `remedy` is for a line that holds no delimiter."""
    header = next(rows, (0, []))[1]
    if not header:
        raise DataError(f"{path}: is empty. Expected a header and a row for each image.")
    if len(header) == 1 and (kind := kind_of_bytes(header[0].encode())):
        raise DataError(f"{path}: is {kind}, expected a CSV table. Download it again.")
    if len(header) == 1:
        raise DataError(
            f"{path}: line 1: one column, {shown(header[0])}, when split at {delimiter!r}. {remedy}"
        )
    if "" in header:
        raise DataError(
            f"{path}: line 1: column {header.index('') + 1} has no name. Name it, or write the "
            "table without the column of row numbers."
        )
    twice = next((name for name, count in Counter(header).items() if count > 1), None)
    if twice is not None:
        if sum(name in PIXELS for name in header) >= len(header) - 1:
            raise DataError(
                f"{path}: line 1: holds values, expected a header: the names of the columns. "
                "Write one above the rows."
            )
        raise DataError(f"{path}: line 1: two columns named {shown(twice)}. Rename or drop one.")
    return header


def check_order(path: Path, names: list[str]) -> None:
    """Refuses pixel columns whose numbers do not rise: their image would be scrambled."""
    numbers = [[int(digits) for digits in re.findall("[0-9]{1,9}", name)] for name in names]
    for name, before, after in zip(names[1:], numbers, numbers[1:], strict=False):
        if before and after and after <= before:
            raise DataError(
                f"{path}: line 1: pixel column {shown(name)} stands out of order. "
                "Sort the columns: row by row, the channels of a pixel side by side."
            )


def check_length(where: str, row: list[str], header: list[str]) -> None:
    if len(row) != len(header):
        raise DataError(
            f"{where}: {len(row):,} values, expected {len(header):,} as in the header. "
            "Correct the row."
        )


def parse_pixels(where: str, row: list[str], names: list[str]) -> bytes:
    """The values of the pixel columns `names`."""
    check_length(where, row, names)
    try:
        return bytes(map(PIXELS.__getitem__, row))
    except KeyError as error:
        name = names[row.index(error.args[0])]
        raise DataError(
            f"{where}: {shown(error.args[0])} in column {shown(name)}, "
            "expected a whole number 0..255. Correct the value."
        ) from error


def no_row(path: Path) -> DataError:
    return DataError(f"{path}: has no row after its header. Add images, or name another file.")


def shown(text: str) -> str:
    return reprlib.repr(text)


def read_unlabelled(path: Path, delimiter: str, shape: tuple[int, int, int]) -> Iterator[bytes]:
    """The pixels of each row of a table that has no labels, one row in memory at a time.

    Args:
        path: the table.
        delimiter: what stands between its columns.
        shape: height, width and channels of each image.

    Raises:
        DataError: as `load`; or the table has not a column for each pixel of the shape.
    """
    rows = read_rows(path, delimiter)
    names = read_header(path, rows, delimiter, "Write it as the training images' table was.")
    if len(names) != math.prod(shape):
        raise DataError(
            f"{path}: line 1: {len(names):,} columns, expected the {math.prod(shape):,} pixels of "
            f"{'×'.join(map(str, shape))} that the model takes{_no_pixels(names)}. "
            "Keep the pixel columns alone."
        )
    check_order(path, names)
    line = 0
    for line, row in rows:
        yield parse_pixels(f"{path}: line {line}", row, names)
    if not line:
        raise no_row(path)


def _no_pixels(names: list[str]) -> str:
    """Names the columns that are called otherwise than most."""
    stems = [name.rstrip("0123456789") for name in names]
    usual, count = Counter(stems).most_common(1)[0]
    others = [name for name, stem in zip(names, stems, strict=True) if stem != usual]
    if not others or count <= len(names) // 2:
        return ""
    return f"; not named as pixels: {', '.join(map(shown, others[:MOST_SHOWN]))}"
