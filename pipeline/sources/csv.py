"""Reads CSV tables with a row an image: a column for its class, and its pixels or its file."""

import math
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config import ClassNames, OutsidePath
from pipeline.errors import DataError
from pipeline.sources import DrawnTest, ImageFiles, LabelledImages, SourceData
from pipeline.sources._csv_rows import (
    check_length,
    check_order,
    no_row,
    parse_pixels,
    read_header,
    read_rows,
    shown,
)
from pipeline.sources._path_table import PathRows, sound_files
from pipeline.sources._picture_files import PictureFiles, PictureOptions

if TYPE_CHECKING:
    import numpy as np

INTEGER = re.compile(r"-?[0-9]{1,18}")
Size = Annotated[int, Field(ge=1)]


class Options(PictureOptions):
    """Which tables, and what their columns mean.

    Attributes:
        test_file: a table with labels of its own; without it `test_fraction` is drawn.
        test_fraction: share of each class in `train_file` that becomes the test split.
        split_seed: draws that share; apart from `seed`, so that all seeds have one test split.
        label_column: its name in the header; without `path_column`, all other columns are pixels,
            row by row, the channels of a pixel side by side.
        path_column: name of the column with the path of each image's file; others do not count.
        image_folder: what these paths start from; the folder that the table is in where None.
        image_shape: height, width and channels; a square of 1 or 3 channels where None.
        classes: names in label order, where the column holds these names or their positions;
            the sorted contents of the column where None.
    """

    source: Literal["csv"] = "csv"
    train_file: OutsidePath
    test_file: OutsidePath | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    label_column: str = "label"
    path_column: str | None = None
    image_folder: OutsidePath | None = None
    delimiter: Literal[",", ";", "\t", "|"] = ","
    image_shape: tuple[Size, Size, Literal[1, 3]] | None = None
    classes: ClassNames | None = None

    @model_validator(mode="after")
    def _test_images_come_from_one_place(self) -> "Options":
        if (self.test_file is None) == (self.test_fraction is None):
            raise ValueError("give test_file or test_fraction, one of the two")
        return self

    @model_validator(mode="after")
    def _options_fit_the_table(self) -> "Options":
        if self.path_column is not None and self.image_shape is not None:
            raise ValueError("image_shape is for tables of pixels; files have image_size")
        for name in (*PictureOptions.__annotations__, "image_folder"):
            value = getattr(self, name)
            if self.path_column is None and value != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for tables of paths; name their column, path_column")
        return self

    def tables(self) -> dict[str, Path]:
        """The tables by option."""
        files = {"train_file": self.train_file}
        if self.test_file is not None:
            files["test_file"] = self.test_file
        for option, path in files.items():
            if not path.is_file():
                raise DataError(f"{path}: no such file. Put it there, or set data.{option}.")
        return files

    def outside_files(self) -> Mapping[str, Path | None]:
        tables = self.tables()
        if self.path_column is None:
            return tables
        paths = {option: str(path) for option, path in tables.items()}
        for option, table in tables.items():
            paths |= {f"{option} {name}": path for name, path in sound_files(table, self)}
        return PictureFiles(paths)


@dataclass(frozen=True)
class _Table:
    """A file's images, each with a code for its label, and each label's first line, by code."""

    path: Path
    coded: LabelledImages | ImageFiles
    first_lines: dict[str, int]

    def labelled(self, indices: dict[str, int]) -> LabelledImages | ImageFiles:
        """The images with the class that `indices` gives to each text."""
        import numpy as np

        by_code = np.array([indices[text] for text in self.first_lines], np.int64)
        return replace(self.coded, labels=by_code[self.coded.labels])


def load(options: Options) -> SourceData:
    """Reads the tables row by row; draws the test split where there is no table for it.

    Raises:
        DataError: a file is missing or no such table, a row is ragged, or a value is no pixel or
            no class.
    """
    tables = [_read_table(path, options) for path in options.tables().values()]
    classes, indices = _classes(tables, options.classes)
    train, *rest = (table.labelled(indices) for table in tables)
    origin = "CSV table " + " and ".join(table.path.name for table in tables)
    if options.test_fraction is None:
        return SourceData(train, rest[0], classes, origin)
    _refuse_lonely(tables[0], train.labels)
    return SourceData(train, DrawnTest(options.test_fraction, options.split_seed), classes, origin)


def _refuse_lonely(table: _Table, labels: "np.ndarray") -> None:
    from pipeline.data.splits import find_lonely

    lonely = find_lonely(labels)
    if lonely is not None:
        text = list(table.first_lines)[table.coded.labels[lonely]]
        raise DataError(
            f"{table.path}: line {table.first_lines[text]}: the only image of class "
            f"{shown(text)}, expected 2 or more to draw a test split. Add images."
        )


def _classes(
    tables: list[_Table], given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The class names, and the class that each text of the label column stands for."""
    texts = {text for table in tables for text in table.first_lines}
    are_numbers = all(INTEGER.fullmatch(text) for text in texts)
    if given is None:
        names = tuple(sorted(texts, key=lambda text: (int(text) if are_numbers else 0, text)))
        return names, {name: index for index, name in enumerate(names)}
    indices = {name: index for index, name in enumerate(given)}
    if are_numbers and not texts <= indices.keys():
        indices = {str(index): index for index in range(len(given))}
    for table in tables:
        for text, line in table.first_lines.items():
            if text not in indices:
                raise DataError(
                    f"{table.path}: line {line}: label {shown(text)}, expected a name of "
                    f"data.classes or 0..{len(given) - 1}. Correct the label, or add its class."
                )
    return given, indices


def _read_table(path: Path, options: Options) -> _Table:
    import numpy as np

    rows = read_rows(path, options.delimiter)
    remedy = "Set data.delimiter to what stands between the columns."
    header = read_header(path, rows, options.delimiter, remedy)
    label_at = _find_label(path, header, options.label_column)
    names = header[:label_at] + header[label_at + 1 :]
    images = (_Pixels if options.path_column is None else PathRows)(path, names, options)
    codes, known = array("q"), dict[str, tuple[int, int]]()
    for line, row in rows:
        where = f"{path}: line {line}"
        check_length(where, row, header)
        label = row.pop(label_at)
        if not label.strip():
            raise DataError(f"{where}: has no label. Write its class, or drop the row.")
        images.add(where, row)
        codes.append(known.setdefault(label, (len(known), line))[0])
    if not codes:
        raise no_row(path)
    first_lines = {label: line for label, (_, line) in known.items()}
    return _Table(path, images.labelled(np.frombuffer(codes, np.int64)), first_lines)


class _Pixels:
    """The images of rows that hold pixels."""

    def __init__(self, path: Path, names: list[str], options: Options) -> None:
        self._names = names
        self._shape = _image_shape(path, names, options.image_shape)
        self._pixels = bytearray()
        check_order(path, names)

    def add(self, where: str, row: list[str]) -> None:
        self._pixels += parse_pixels(where, row, self._names)

    def labelled(self, labels: "np.ndarray") -> LabelledImages:
        import numpy as np

        images = np.frombuffer(self._pixels, np.uint8).reshape(-1, *self._shape)
        return LabelledImages(images, labels)


def _find_label(path: Path, header: list[str], label_column: str) -> int:
    """The position of the label column."""
    if label_column not in header:
        raise DataError(
            f"{path}: line 1: no column {label_column!r}; the header begins with "
            f"{', '.join(map(shown, header[:3]))}. Set data.label_column, or add labels; for a "
            "test split from the training table, set data.test_fraction and no data.test_file."
        )
    return header.index(label_column)


def _image_shape(
    path: Path, names: list[str], given: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    """The shape that the pixel columns `names` fill, in their order."""
    count = len(names)
    side, colour_side = math.isqrt(count), math.isqrt(count // 3)
    squares = [(side, side, 1), (colour_side, colour_side, 3)]
    for shape in [given] if given else squares:
        if math.prod(shape) == count:
            return shape
    expected = "×".join(map(str, given)) if given else "a square of 1 or 3 channels"
    raise DataError(
        f"{path}: line 1: {count:,} pixel columns, expected {expected}. "
        "Drop the columns that are none, or set data.image_shape."
    )
