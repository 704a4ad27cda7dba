"""Reads the paths of pictures from a column of a table; no path leads out of their folder."""

import os
import shlex
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.config.schema import OutsidePath
from pipeline.core.errors import DataError
from pipeline.data.images.decoding import SUFFIXES
from pipeline.data.images.types import ImageFiles
from pipeline.data.sources._csv_rows import (
    Column,
    Table,
    TableOptions,
    excerpt,
    open_table,
    refuse_ragged,
)
from pipeline.data.sources._picture_files import PictureOptions

if TYPE_CHECKING:
    import numpy as np

MOST_NEAR = 1000


class PathOptions(PictureOptions, TableOptions):
    """Where the paths stand, and what they start from and end in.

    Attributes:
        path_column: name of the column with the path of each image's file; others do not count.
        path_suffix: what ends the files' names, where the table leaves it out, such as `.jpg`.
        image_folder: what these paths start from; the folder that the table is in where None.
    """

    path_column: Column | None = None
    path_suffix: Annotated[str, Field(pattern=r"^\.[A-Za-z0-9]+$")] | None = None
    image_folder: OutsidePath | None = None

    def reads_pictures(self) -> bool:
        return self.path_column is not None


class PathRows:
    """The images of rows that name files.

    Raises:
        DataError: there is no column of paths, or no folder that they start from; a path leads
            out of it.
    """

    def __init__(self, table: Table, names: list[str], options: PathOptions) -> None:
        if options.path_column not in names:
            raise DataError(
                f"{table.path}: line 1: no column {options.path_column!r} beside the labels; there "
                f"are {', '.join(map(excerpt, names[:3]))}. "
                f"{table.remedies.column.format('path_column')}"
            )
        self.folder = options.image_folder or table.path.parent
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: no such folder. {table.remedies.folder}")
        self.names: list[str] = []
        self._remedies, self._is_first = table.remedies, True
        self._column = names.index(options.path_column)
        self._suffix = options.path_suffix or ""
        self._decoding = options.decoding()

    def add(self, where: str, row: list[str]) -> None:
        self.names.append(self.path(where, row))

    def path(self, where: str, row: list[str]) -> str:
        """The file of a row, by its path from the folder on."""
        name = self._checked(where, row[self._column]) + self._suffix
        if self._is_first and not self._suffix and not Path(name).suffix:
            self._refuse_cut_name(where, name)
        self._is_first = False
        return name

    def text(self, row: list[str]) -> str:
        """What the table says in place of the file."""
        return row[self._column]

    def labelled(self, labels: "np.ndarray") -> ImageFiles:
        return ImageFiles(str(self.folder), tuple(self.names), labels, self._decoding)

    def refuse_none_there(self, table: Path) -> None:
        """Refuses paths that start from another folder, as no file is there then.

        Raises:
            DataError: names a folder near the table that has the first file, if there is one.
        """
        if any(os.path.lexists(self.folder / name) for name in self.names):
            return
        first = self.names[0]
        near = next((home for home in _near(table) if _is_file(home / first)), None)
        setting = f"data.image_folder={shlex.quote(str(near))}" if near else (
            "data.image_folder to the one that they start from"
        )  # fmt: skip
        raise DataError(
            f"{table}: none of its {len(self.names):,} pictures is there, such as "
            f"{excerpt(first)}: paths start from {self.folder}. Set {setting}."
        )

    def _checked(self, where: str, text: str) -> str:
        """The path from the folder on."""
        if not text.strip():
            raise DataError(f"{where}: names no file. Write its path, or drop the row.")
        is_absolute = Path(text).is_absolute()
        path = os.path.relpath(text, self.folder) if is_absolute else os.path.normpath(text)
        path = path.replace(os.sep, "/")
        if path == "." or path.split("/", 1)[0] == "..":
            raise DataError(
                f"{where}: the path {excerpt(text)} leads to no file in {self.folder}. "
                f"{self._remedies.outside}"
            )
        return path

    def _refuse_cut_name(self, where: str, name: str) -> None:
        """Names without their ending lead to nothing; the files beside tell what it is."""
        ending = next((s for s in SUFFIXES if (self.folder / f"{name}{s}").is_file()), None)
        if ending and not (self.folder / name).exists():
            raise DataError(
                f"{where}: {excerpt(name)} is no file in {self.folder}, but "
                f"{excerpt(name + ending)} is. {self._remedies.suffix.format(quote(ending))}"
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long, or a folder that may not be read
        return False


def _near(table: Path) -> Iterator[Path]:
    """The folders above a table, and those beside and below it."""
    home = table.absolute().parent
    yield from home.parents
    for place in (home, home.parent):
        try:
            with os.scandir(place) as entries:
                yield from (Path(e.path) for e in islice(entries, MOST_NEAR) if e.is_dir())
        except OSError:
            continue


def sound_files(table: Path, options: PathOptions) -> Iterator[tuple[str, str]]:
    """Path in the table, and full path, of each readable regular file within the folder."""
    found = open_table(table, options.delimiter, has_header=options.header)
    paths = PathRows(found, found.names, options)
    for line, row in found.rows:
        refuse_ragged(where := f"{table}: line {line}", row, found.names)
        paths.add(where, row)
    root = os.path.realpath(paths.folder)
    homes: dict[str, bool] = {}
    for name in paths.names:
        path = f"{paths.folder}/{name}"
        home = path.rpartition("/")[0]
        if home not in homes:
            homes[home] = _is_within(os.path.realpath(home), root)
        if _is_sound(path, root, is_home_inside=homes[home]):
            yield name, path


def _is_sound(path: str, root: str, *, is_home_inside: bool) -> bool:
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            target = os.path.realpath(path)
            return _is_within(target, root) and Path(target).is_file()
    except (OSError, ValueError):
        return False
    return is_home_inside and stat.S_ISREG(mode) and os.access(path, os.R_OK)


def _is_within(path: str, root: str) -> bool:
    return Path(path).is_relative_to(root)
