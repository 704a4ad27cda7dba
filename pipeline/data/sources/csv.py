"""Reads CSV tables with a row an image: a column for its class, and its pixels or its file."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.schema import ClassNames, OutsidePath
from pipeline.core.errors import DataError
from pipeline.data.images.types import DrawnTest, ImageFiles, LabelledImages, SourceData
from pipeline.data.sources._class_names import (
    classes_of,
    find_twins,
    late_texts,
    refuse_no_classes,
    twins_error,
)
from pipeline.data.sources._csv_labels import LabelOptions, find_labels
from pipeline.data.sources._csv_pixels import PixelOptions, PixelRows
from pipeline.data.sources._csv_rows import Column, Table, excerpt, no_row, open_table
from pipeline.data.sources._fitting import no_file, refuse_foreign
from pipeline.data.sources._path_table import PathOptions, PathRows, sound_files
from pipeline.data.sources._picture_files import PictureFiles, PictureOptions

if TYPE_CHECKING:
    import numpy as np

OF_PATHS = (*PictureOptions.__annotations__, "image_folder", "path_suffix")
OF_PIXELS = ("image_shape", "pixels_column")
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "publictest"),
    "test": ("test", "testing", "privatetest"),
}
"""What a table calls its splits, in any case; the last of each is that of FER2013."""
SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names}


class Options(LabelOptions, PixelOptions, PathOptions):
    """Which tables, and what their columns mean.

    Attributes:
        train_file: the table of training images, with their labels.
        test_file: a table with labels of its own; without it `test_fraction` is drawn.
        test_fraction: share of each class in `train_file` that becomes the test split.
        split_column: name of the column that tells the split of each row instead: train,
            validation (or val) or test; Training, PublicTest or PrivateTest.
        split_seed: draws that share; apart from `seed`, so that all seeds have one test split.
        classes: names in label order, where the column holds these names or their positions; the
            sorted contents of the column where None.
    """

    source: Literal["csv"] = "csv"
    train_file: OutsidePath
    test_file: OutsidePath | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    split_column: Column | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    classes: ClassNames | None = None

    @model_validator(mode="after")
    def _test_images_come_from_one_place(self) -> "Options":
        if [self.test_file, self.test_fraction, self.split_column].count(None) != 2:
            raise ValueError(
                "give one of data.test_file, data.test_fraction and data.split_column, such as "
                "data.test_fraction=0.2"
            )
        return self

    @model_validator(mode="after")
    def _options_fit_the_table(self) -> "Options":
        for name in OF_PIXELS if self.path_column else OF_PATHS:
            if getattr(self, name) != type(self).model_fields[name].default:
                what = "pixels; files have data.image_size" if self.path_column else (
                    "paths; name their column in data.path_column"
                )  # fmt: skip
                raise ValueError(f"data.{name} is for tables of {what}")
        return self

    def tables(self) -> dict[str, Path]:
        """The tables by option."""
        files = {"train_file": self.train_file}
        if self.test_file is not None:
            files["test_file"] = self.test_file
        for option, path in files.items():
            if not path.is_file():
                raise no_file(path, option)
            refuse_foreign(path, "csv", "a CSV table")
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
    """A file's images, each with a code for its label, and each label's first line, by code.

    Of images that are in several splits, `splits` gives the places in each. `doubt` is what errors
    about labels add where nothing says in which column these stand.
    """

    path: Path
    coded: LabelledImages | ImageFiles
    first_lines: dict[str, int]
    splits: Mapping[str, Sequence[int]]
    doubt: str = ""

    def labelled(self, indices: Mapping[str, int]) -> LabelledImages | ImageFiles:
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
    classes, indices = _classes(tables, options.classes or options.label_columns)
    if options.classes is None:
        _refuse_names(tables)
    train, *rest = (table.labelled(indices) for table in tables)
    origin = "CSV table " + " and ".join(table.path.name for table in tables)
    if options.split_column is not None:
        return _split_by_column(train, tables[0], options.split_column, classes, origin)
    if options.test_fraction is None:
        return SourceData(train, rest[0], classes, origin)
    _refuse_lonely(tables[0], train.labels)
    return SourceData(train, DrawnTest(options.test_fraction, options.split_seed), classes, origin)


def _split_by_column(
    images: LabelledImages | ImageFiles,
    table: _Table,
    column: str,
    classes: tuple[str, ...],
    origin: str,
) -> SourceData:
    """The splits that the table's own column tells."""
    import numpy as np

    if missing := next((split for split in ("train", "test") if split not in table.splits), None):
        raise DataError(
            f"{table.path}: no row is of split {missing!r} by column {excerpt(column)}. Add some, "
            "or set data.test_fraction in place of data.split_column."
        )
    parts = {name: images.select(np.array(at, np.int64)) for name, at in table.splits.items()}
    return SourceData(parts["train"], parts["test"], classes, origin, parts.get("validation"))


def _refuse_lonely(table: _Table, labels: "np.ndarray") -> None:
    import numpy as np

    lonely = np.flatnonzero(np.bincount(labels)[labels] == 1)
    if lonely.size:
        text = list(table.first_lines)[table.coded.labels[lonely[0]]]
        raise DataError(
            f"{table.path}: line {table.first_lines[text]}: the only image of class "
            f"{excerpt(text)}, expected 2 or more to draw a test split. Add images.{table.doubt}"
        )


def _refuse_names(tables: list[_Table]) -> None:
    """Names the line where no class, or the second of two spellings of one, stands first."""
    lines: dict[str, str] = {}
    for table in tables:
        for text, line in table.first_lines.items():
            lines.setdefault(text, f"{table.path}: line {line}: the label")
    refuse_no_classes(lines, tables[0].doubt)
    names, indices = classes_of({text for table in tables for text in table.first_lines}, None)
    places: dict[str, tuple[Path, int]] = {}
    for table in tables:
        for text, line in table.first_lines.items():
            places.setdefault(names[indices[text]], (table.path, line))
    if twins := find_twins(places):
        path, line = places[twins[1]]
        raise twins_error(f"{path}: line {line}", "labels", twins)


def _classes(
    tables: list[_Table], given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """The class names, and the class that each text of the label column stands for."""
    names, indices = classes_of({text for table in tables for text in table.first_lines}, given)
    if len(names) < 2 and (doubt := tables[0].doubt):
        raise DataError(f"{tables[0].path}: {excerpt(names[0])} is the label of every row.{doubt}")
    for table in tables:
        for text, line in table.first_lines.items():
            if text not in indices:
                counted = late_texts({t for each in tables for t in each.first_lines}, len(names))
                raise DataError(
                    f"{table.path}: line {line}: label {excerpt(text)}, expected a name of "
                    f"data.classes or 0..{len(names) - 1}. Correct the label, or add its class."
                    f"{counted}{table.doubt}"
                )
    return names, indices


def _read_table(path: Path, options: Options) -> _Table:
    import numpy as np

    table = open_table(path, options.delimiter, has_header=options.header)
    labels = find_labels(table, options)
    names, split_at = _without_split(table, labels.others, options.split_column)
    images = (
        PixelRows(table, names, options)
        if options.path_column is None
        else PathRows(table, names, options)
    )
    codes, known = array("q"), dict[str, tuple[int, int]]()
    splits: dict[str, array[int]] = {}
    for line, row in table.rows:
        where = f"{path}: line {line}"
        label = labels.take_label(where, row)
        if split_at is not None:
            splits.setdefault(_split_of(where, row.pop(split_at)), array("q")).append(len(codes))
        images.add(where, row)
        codes.append(known.setdefault(label, (len(known), line))[0])
    if not codes:
        raise no_row(path)
    if isinstance(images, PathRows):
        images.refuse_none_there(path)
    first_lines = {label: line for label, (_, line) in known.items()}
    coded = images.labelled(np.frombuffer(codes, np.int64))
    return _Table(path, coded, first_lines, splits, _doubt(options, len(table.names)))


def _doubt(options: Options, columns: int) -> str:
    """Of a table without a header, whose labels are read from the first column unless told."""
    if options.header or options.label_columns or options.label_column != "label":
        return ""
    return (
        " Labels are read from column 1, the first; if they stand last, set "
        f"data.label_column={columns}."
    )


def _without_split(
    table: Table, names: list[str], column: str | None
) -> tuple[list[str], int | None]:
    """The columns without that of splits, and where it stands."""
    if column is None:
        return names, None
    if column not in names:
        raise DataError(
            f"{table.path}: line 1: no column {column!r} beside the labels; there are "
            f"{', '.join(map(excerpt, names[:3]))}. Correct data.split_column."
        )
    return [name for name in names if name != column], names.index(column)


def _split_of(where: str, text: str) -> str:
    split = SPLIT_OF.get(text.strip().casefold())
    if split is None:
        raise DataError(
            f"{where}: {excerpt(text)} is no split, expected train, validation or test, or as "
            "FER2013 has it Training, PublicTest or PrivateTest. Correct the value."
        )
    return split
