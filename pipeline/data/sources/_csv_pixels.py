"""The images of a table's rows that hold pixels: a column each, or all of them in one column."""

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.config.schema import DataSection
from pipeline.core.errors import DataError
from pipeline.core.text import times
from pipeline.data.images.types import LabelledImages
from pipeline.data.sources._class_names import NUMBER, WRITTEN_NUMBER
from pipeline.data.sources._csv_rows import PIXELS, Column, Remedies, Table, excerpt
from pipeline.data.sources._folder_listing import LISTED
from pipeline.data.sources._pixel_range import Range, expected, remedy

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, int, int]
Size = Annotated[int, Field(ge=1)]
ImageShape = tuple[Size, Size, Literal[1, 3]]
MOST_SHOWN = 3
MOST_LEVELS = 2**16


class PixelOptions(DataSection):
    """Where pixels stand in a table.

    Attributes:
        pixels_column: name of the column with all pixels of an image, spaces between them; others
            do not count.
        image_shape: height, width and channels; a square of 1 or 3 channels where None.
        size_limit_bytes: what the images of one table of pixels may take in memory.
    """

    pixels_column: Column | None = None
    image_shape: ImageShape | None = None
    size_limit_bytes: Annotated[int, Field(ge=1)] = 2**32


class PixelRows:
    """The images of rows that hold pixels.

    Args:
        table: whose rows they are.
        names: of its columns without those of labels.
        options: where pixels stand.
        shape: height, width and channels, where these are known otherwise.
    """

    def __init__(
        self, table: Table, names: list[str], options: PixelOptions, shape: Shape | None = None
    ) -> None:
        self._names, self._options, self._remedies = names, options, table.remedies
        self._column = _find_column(table, names, options.pixels_column)
        self._shape = shape or options.image_shape
        self._levels = _Levels(options.pixel_range, table.remedies)
        self._pixels = bytearray()
        self._wrong: _WrongNumberError | None = None
        self._ends: list[float] = []
        if self._column is None:
            self._shape = _fitting(f"{table.path}: line 1", names, self._shape, table)
            _refuse_disorder(table.path, names)

    def add(self, where: str, row: list[str]) -> None:
        """Takes the pixels of a row; a wrong number is told by `labelled`, when all are seen."""
        if self._wrong is None:
            try:
                self._pixels += self.parse(where, row)
            except _WrongNumberError as error:
                self._wrong = error
                self._ends = [*self._levels.ends(self._pixels), error.value]
        if self._wrong is not None:
            self._widen(row)
        if len(self._pixels) > self._options.size_limit_bytes:
            raise DataError(
                f"{where}: the images so far take {len(self._pixels):,} bytes, expected at most "
                f"{self._options.size_limit_bytes:,}. If they are real, raise "
                "data.size_limit_bytes."
            )

    def parse(self, where: str, row: list[str]) -> bytes:
        """The pixels of a row."""
        if self._column is None:
            return self._levels.parse(where, row, self._names.__getitem__)
        values, column = row[self._column].split(), self._names[self._column]
        if self._shape is None or len(values) != math.prod(self._shape):
            self._shape = self._fitting_one(where, len(values))
        return self._levels.parse(where, values, lambda index: f"{column}[{index}]")

    def _widen(self, row: list[str]) -> None:
        """Takes in the ends of a row's numbers; what is no number is told another time."""
        values = row if self._column is None else row[self._column].split()
        with contextlib.suppress(ValueError):
            numbers = list(filter(math.isfinite, map(float, values)))
            self._ends = [min(self._ends + numbers), max(self._ends + numbers)]

    def _fitting_one(self, where: str, count: int) -> Shape:
        """The shape that so many pixels in the one column fill."""
        if shape := _filled(count, self._shape):
            return shape
        assert self._column is not None
        raise DataError(
            f"{where}: {count:,} pixels in column {excerpt(self._names[self._column])}, expected "
            f"{_expected(self._shape)}. {self._remedies.count}"
        )

    def labelled(self, labels: "np.ndarray") -> LabelledImages:
        import numpy as np

        if self._wrong is not None:
            raise self._wrong.with_remedy(remedy((self._ends[0], self._ends[-1])))
        assert self._shape is not None
        images = np.frombuffer(self._pixels, np.uint8).reshape(-1, *self._shape)
        return LabelledImages(images, labels)


class _WrongNumberError(DataError):
    """A number that is out of the range, or no whole number where none is given."""

    def __init__(self, found: str, value: float, remedy: str | None) -> None:
        super().__init__(f"{found} {remedy}")
        self.value, self._found = value, found

    def with_remedy(self, remedy: str) -> DataError:
        return DataError(f"{self._found} {remedy}")


class _Levels(dict[str, int]):
    """The byte that a text stands for; those of a range are found when they are met."""

    def __init__(self, pixel_range: Range | None, remedies: Remedies) -> None:
        super().__init__(PIXELS if pixel_range is None else {})
        self._range, self._remedies = pixel_range, remedies

    def __missing__(self, text: str) -> int:
        low, high = self._range or (0, -1)
        try:
            value = float(text)
        except ValueError:
            raise KeyError(text) from None
        if not low <= value <= high:
            raise KeyError(text)
        byte = round((value - low) * (255 / (high - low)))
        if len(self) < MOST_LEVELS:
            self[text] = byte
        return byte

    def parse(self, where: str, row: Sequence[str], name_of: Callable[[int], str]) -> bytes:
        try:
            return bytes(map(self.__getitem__, row))
        except KeyError as error:
            text = error.args[0]
            raise self._wrong(where, text, name_of(row.index(text))) from error

    def ends(self, pixels: Sequence[int]) -> list[float]:
        """The lowest and the highest number that became these pixels, if there are any."""
        known = pixels if self._range is None else list(map(float, self))
        return [min(known), max(known)] if known else []

    def _wrong(self, where: str, text: str, name: str) -> DataError:
        allowed = expected(self._range, self._remedies.said)
        found = f"{where}: {excerpt(text)} in column {excerpt(name)}, expected {allowed}."
        if WRITTEN_NUMBER.fullmatch(text) and math.isfinite(float(text)):
            told = self._remedies.number if self._range is None else self._remedies.pixel_range
            return _WrongNumberError(found, float(text), told)
        meant = _meant(name, text, self._remedies) if self._range is None else ""
        return DataError(f"{found} {meant or 'Correct the value.'}")


def _meant(name: str, text: str, remedies: Remedies) -> str:
    """The setting for a column that is no pixel, by one of its values; empty if there is none."""
    values = text.split()
    if len(values) > 1 and all(map(NUMBER.fullmatch, values)):
        return remedies.pixels_column.format(quote(name))
    if text.lower().endswith(LISTED):
        return remedies.path_column.format(quote(name))
    return ""


def _find_column(table: Table, names: list[str], asked: str | None) -> int | None:
    if asked is None:
        return None
    if asked not in names:
        raise DataError(
            f"{table.path}: line 1: no column {asked!r} beside the labels; there are "
            f"{', '.join(map(excerpt, names[:MOST_SHOWN]))}. "
            f"{table.remedies.column.format('pixels_column')}"
        )
    return names.index(asked)


def _refuse_disorder(path: Path, names: list[str]) -> None:
    """Refuses pixel columns whose numbers do not rise: their image would be scrambled."""
    numbers = [[int(digits) for digits in re.findall("[0-9]{1,9}", name)] for name in names]
    for name, before, after in zip(names[1:], numbers, numbers[1:], strict=False):
        if before and after and after <= before:
            raise DataError(
                f"{path}: line 1: pixel column {excerpt(name)} stands out of order. "
                "Sort the columns: row by row, the channels of a pixel side by side."
            )


def _fitting(where: str, names: list[str], given: Shape | None, table: Table) -> Shape:
    """The shape that the pixels `names` fill, in their order."""
    count = len(names)
    if shape := _filled(count, given):
        return shape
    _, first = next(table.rows, (0, []))
    said = (_meant(*cell, table.remedies) for cell in zip(table.names, first, strict=False))
    raise DataError(
        f"{where}: {count:,} pixel columns, expected {_expected(given)}{no_pixels(names)}. "
        f"{next(filter(None, said), table.remedies.pixels)}"
    )


def _filled(count: int, given: Shape | None) -> Shape | None:
    shape = given or square_of(count)
    return shape if shape and math.prod(shape) == count else None


def _expected(given: Shape | None) -> str:
    return times(given) if given else "a square of 1 or 3 channels"


def square_of(count: int) -> Shape | None:
    """The square of one or three channels that so many pixels fill, if they do."""
    side, colour_side = math.isqrt(count), math.isqrt(count // 3)
    squares = ((side, side, 1), (colour_side, colour_side, 3))
    return next((shape for shape in squares if count and math.prod(shape) == count), None)


def no_pixels(names: list[str]) -> str:
    """Names the columns that are called otherwise than most."""
    stems = [name.rstrip("0123456789") for name in names]
    usual, count = Counter(stems).most_common(1)[0] if stems else ("", 0)
    others = [name for name, stem in zip(names, stems, strict=True) if stem != usual]
    if not others or count <= len(names) // 2:
        return ""
    return f"; not named as pixels: {', '.join(map(excerpt, others[:MOST_SHOWN]))}"
