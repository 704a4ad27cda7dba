"""TableAnswers each row of a table of pixels or of paths, and writes a table of the answers."""

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from uuid import uuid4

from export.formats import contract
from export.formats.contract import Contract
from export.formats.format import answer_function
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.progress import Progress
from pipeline.core.text import times
from pipeline.data.sources import csv as table_source
from pipeline.data.sources._class_names import classes_of
from pipeline.data.sources._csv_labels import Labels, find_labels, label_names
from pipeline.data.sources._csv_pixels import PixelRows, no_pixels
from pipeline.data.sources._csv_rows import Remedies, count_lines, no_row, open_table, refuse_ragged
from pipeline.data.sources._folder_listing import LISTED
from pipeline.data.sources._path_table import PathRows
from pipeline.data.sources._pixel_range import REACHING_IMAGES, white_of_counts
from pipeline.store.artifact import open_artifact

if TYPE_CHECKING:
    import numpy as np

PIXELS_A_BATCH = 2**19
TABLES = (".csv", ".csv.gz", ".tsv")
OF_TABLES = (
    "delimiter", "header", "label_column", "label_columns", "path_column", "path_suffix",
    "pixels_column", "pixel_range",
)  # fmt: skip
"""What the training images' table says of others like it."""
OF_PREDICT = Remedies(
    delimiter="Write it as the training images' table was.",
    header="Write one above the rows.",
    column="Name it as in the training images' table.",
    pixels="Keep the pixel columns alone.",
    count="Correct the row.",
    pixels_column="Keep the pixel columns alone, or all pixels of an image in one column.",
    path_column="Keep the pixel columns alone, or name files in one column of every row.",
    number="Correct the value, or scale all values to 0..255, as the model was trained on.",
    pixel_range="Correct the value.",
    said="as in the training images",
    folder="Put it there, or name another with --image-folder.",
    outside="Correct it, or name a folder that holds all pictures with --image-folder.",
    suffix="Write the names with {} at their end.",
)
"""Whoever asks can give no settings, but write the table as that of the training images."""


@dataclass(frozen=True)
class Tables:
    """The table that is read and the one that is written.

    Attributes:
        rows: a row an image: a column a pixel, or one with the path of its file.
        answers: gets a row an image: its number, counted from 1, or its path, and its class.
        columns: the names of these two; the usual ones where None.
        image_folder: what paths start from; the table's own folder where None.
    """

    rows: Path
    answers: Path
    columns: tuple[str, str] | None = None
    image_folder: Path | None = None


@dataclass(frozen=True)
class TableAnswers:
    """What was answered.

    Attributes:
        images: how many.
        right: how many of them as the table's own labels say.
        labelled: how many of them have one.
        doubt: why the answers may be wrong.
    """

    images: int
    right: int = 0
    labelled: int = 0
    doubt: str | None = None


@dataclass(frozen=True)
class _Row:
    """An image with what stands for it in the answers, and its label where the table tells it."""

    name: str | int
    pixels: "np.ndarray"
    label: str | None


def two_columns(text: str | None) -> tuple[str, str] | None:
    """The names of two columns.

    Raises:
        ConfigError: they are not two.
    """
    if text is None:
        return None
    names = text.split(",")
    if len(names) != 2 or not all(names):
        raise ConfigError(f"--columns {text!r}; expected two names, such as ImageId,Label")
    return names[0], names[1]


def requested_tables(
    files: Sequence[Path], output: Path | None, columns: str | None
) -> Tables | None:
    """The tables of a call of `predict`; none if it names pictures or folders alone.

    Raises:
        ConfigError: it names a table and other files, nowhere for the answers, or no two columns.
    """
    names = two_columns(columns)
    found = next((file for file in files if file.name.lower().endswith(TABLES)), None)
    if found is None and output and not any(map(_holds_pictures, files)):
        found = files[0]
    if found is None:
        return None
    if len(files) > 1:
        raise ConfigError(f"{found} is a table, and stands beside other files; name it alone")
    if output is None:
        raise ConfigError(f"{found} is a table; say where its answers go with --output FILE")
    return Tables(found, output, names)


def _holds_pictures(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith(LISTED)


def predict_table(
    tables: Tables, export_folder: Path, format_name: str, progress: Progress
) -> TableAnswers:
    """Writes the answers once all are there; pixels are taken as the training images' were.

    Raises:
        ConfigError: the artifact lacks the format, or the answers cannot be written there.
        DataError: the table is missing or damaged, does not fit the model, or names a file that
            cannot be answered; or its labels are none of the model's.
    """
    from pipeline.inference.pictures import file_of

    promised = contract.read(export_folder)
    path = file_of(promised, format_name, export_folder)
    if not tables.rows.is_file():
        raise DataError(f"{tables.rows}: no such file. Name a table of pixels or of paths.")
    lines = count_lines(tables.rows)
    refuse_target(tables.answers, [tables.rows])
    images_of = _RowImages(tables, _options(export_folder, tables), promised)
    answer = answer_function(format_name, path)
    done, said = 0, Counter[tuple[str, int]]()
    with replacing(tables.answers) as stream, progress.task("predict", lines - 1) as task:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(tables.columns or images_of.usual_columns)
        for names, images, labels in _batches(images_of.rows(), images_of.shape):
            found = answer(images).argmax(axis=1).tolist()
            answers = zip(names, (promised.output.labels[index] for index in found), strict=True)
            writer.writerows(answers)
            said.update((label, at) for label, at in zip(labels, found, strict=True) if label)
            done += len(names)
            task.advance(len(names))
        if not done:
            raise no_row(tables.rows)
        doubt = images_of.scale_doubt()
        classes = images_of.classes()
    right = sum(count for (label, at), count in said.items() if classes[label] == at)
    return TableAnswers(done, right, said.total(), doubt)


def _options(export_folder: Path, tables: Tables) -> table_source.Options:
    """What the training images' table says of columns, if they came from one."""
    data: dict[str, Any] = open_artifact(export_folder).manifest["config"]["data"]
    known = OF_TABLES if data["source"] == "csv" else ("pixel_range",)
    values = {name: data[name] for name in known if name in data}
    if values.get("path_column"):
        values["image_folder"] = tables.image_folder and str(tables.image_folder)
    values |= {"train_file": str(tables.rows), "test_fraction": 0.5}
    return table_source.Options.model_validate_json(json.dumps(values))


class _RowImages:
    """The images of a table's rows, with their labels where it has some."""

    def __init__(self, tables: Tables, options: table_source.Options, promised: Contract) -> None:
        table = open_table(tables.rows, options.delimiter, OF_PREDICT, has_header=options.header)
        first = next(table.rows, None)
        self._table = replace(table, rows=chain([first] if first else [], table.rows))
        self._input, self._classes = promised.input.as_trained, promised.output.labels
        self._target = tables.answers
        self._highest = [0] * 256
        self._labels = self._find_labels(options)
        self._first_lines: dict[str, str] = {}
        self._names = names = self._labels.others if self._labels else table.names
        options = self._with_column(options, names, first[1] if first else [], tables)
        self._pixels, self._paths = None, None
        if options.path_column is not None:
            self._paths = PathRows(table, names, options)
        else:
            self._refuse_others(options, names)
            self._pixels = PixelRows(table, names, options, self.shape)
        self._is_checked = options.pixel_range is None and self._pixels is not None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image as the training images' were."""
        return self._input.shape

    @property
    def usual_columns(self) -> tuple[str, str]:
        return ("file", "label") if self._paths else ("ImageId", "Label")

    def rows(self) -> Iterator[_Row]:
        for number, (line, row) in enumerate(self._table.rows, 1):
            where = f"{self._table.path}: line {line}"
            label = self._labels.take_label_if_any(where, row) if self._labels else None
            if label is not None and label not in self._first_lines:
                self._classes_of({label: where})  # which refuses what cannot be a class
                self._first_lines[label] = where
            name, pixels = self._image(where, number, row)
            yield _Row(name, pixels, label)

    def classes(self) -> Mapping[str, int]:
        """The class of each label so far, by the same rule as for training images."""
        return self._classes_of(self._first_lines)

    def _classes_of(self, first_lines: Mapping[str, str]) -> Mapping[str, int]:
        _, indices = classes_of(first_lines.keys(), self._classes)
        for label, where in first_lines.items():
            if label not in indices:
                raise DataError(
                    f"{where}: label {label!r}, expected a class of the model. Correct the label, "
                    "or drop the column of labels for answers alone."
                )
        return indices

    def scale_doubt(self) -> str | None:
        """By the same rule as for training images; of a few, that are soon dark, a doubt alone."""
        white = white_of_counts(self._highest) if self._is_checked else None
        if white is None:
            return None
        found = f"{self._table.path}: has pixels from 0 to {white}, expected 0..255, as the model "
        remedy = f"Multiply them by {255 / white:g}"
        if sum(self._highest) < REACHING_IMAGES:
            return f"{found}was trained on. {remedy}, unless they are meant to be so dark."
        raise DataError(f"{found}was trained on. {remedy}.")

    def _image(self, where: str, number: int, row: list[str]) -> tuple[str | int, "np.ndarray"]:
        import numpy as np

        from pipeline.inference.pictures import read_picture

        refuse_ragged(where, row, self._names)
        if self._paths:
            file = Path(self._paths.folder, self._paths.path(where, row))
            refuse_itself(self._target, file)
            try:
                return self._paths.text(row), read_picture(file, self._input)[0]
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
        assert self._pixels is not None
        pixels = self._pixels.parse(where, row)
        self._highest[max(pixels)] += 1
        return number, np.frombuffer(pixels, np.uint8).reshape(self.shape)

    def _find_labels(self, options: table_source.Options) -> Labels | None:
        """The columns of labels, if the table has them beside those of images."""
        names, asked = self._table.names, label_names(options)
        if not set(asked) < set(names):
            return None
        is_full = len(names) == math.prod(self.shape)
        return None if is_full and not options.header else find_labels(self._table, options)

    def _with_column(
        self, options: table_source.Options, names: list[str], first: list[str], tables: Tables
    ) -> table_source.Options:
        """Names the column of paths or of all pixels, where the first row tells it."""
        count = math.prod(self.shape)
        if options.path_column or options.pixels_column or len(names) == count:
            return options
        for name, text in zip(self._table.names, first, strict=False):
            if name in names and text.lower().endswith(LISTED):
                return options.model_copy(
                    update={"path_column": name, "image_folder": tables.image_folder}
                )
            if name in names and len(text.split()) == count > 1:
                return options.model_copy(update={"pixels_column": name})
        return options

    def _refuse_others(self, options: table_source.Options, names: list[str]) -> None:
        shape = self.shape
        if options.pixels_column is None and len(names) != math.prod(shape):
            raise DataError(
                f"{self._table.path}: line 1: {len(names):,} columns, expected the "
                f"{math.prod(shape):,} pixels of {times(shape)} that the model takes"
                f"{no_pixels(names)}. Keep the pixel columns alone, or name files with their "
                "endings in one."
            )


def _batches(
    rows: Iterator[_Row], shape: tuple[int, int, int]
) -> Iterator[tuple[list[str | int], "np.ndarray", list[str | None]]]:
    """Names, images and labels of as many rows as fit a batch."""
    import numpy as np

    count = max(1, PIXELS_A_BATCH // math.prod(shape))
    images = np.empty((count, *shape), np.uint8)
    names, labels = list[str | int](), list[str | None]()
    for row in rows:
        images[len(names)] = row.pixels
        names.append(row.name)
        labels.append(row.label)
        if len(names) == count:
            yield names, images, labels
            names, labels = [], []
    if names:
        yield names, images[: len(names)], labels


def refuse_target(target: Path, files: Iterable[Path], option: str = "--output") -> None:
    """Refuses a place where nothing can be written, or where one of the read `files` is.

    Raises:
        ConfigError: there is no such folder, or something else than a file of answers.
    """
    if not target.parent.is_dir():
        raise ConfigError(f"{option} {target}: there is no folder {target.parent}; make it first")
    if target.exists():
        if not target.is_file():
            raise ConfigError(f"{option} {target}: is no file; name one to be written")
        for file in files:
            refuse_itself(target, file, option)


def refuse_itself(target: Path, file: Path, option: str = "--output") -> None:
    """Refuses to put the answers in the place of a file that is read for them."""
    try:
        is_same = target.samefile(file)
    except (OSError, ValueError):  # whoever reads the file tells what is wrong with it
        return
    if is_same:
        raise ConfigError(f"{option} {target}: is {file} itself, which is read; name another file")


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
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
