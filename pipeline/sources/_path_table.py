"""Reads the paths of pictures from a column of a table; no path leads out of their folder."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.data.pictures.decoding import SUFFIXES, Decoding
from pipeline.errors import DataError
from pipeline.sources import ImageFiles
from pipeline.sources._csv_rows import check_length, open_table, shown

if TYPE_CHECKING:
    import numpy as np


class PathOptions(Protocol):
    """The options that say where the paths stand, and how their files are decoded."""

    @property
    def path_column(self) -> str | None: ...
    @property
    def image_folder(self) -> Path | None: ...
    @property
    def path_suffix(self) -> str | None: ...
    @property
    def delimiter(self) -> str: ...
    @property
    def header(self) -> bool: ...
    def decoding(self) -> Decoding: ...


class PathRows:
    """The images of rows that name files.

    Raises:
        DataError: there is no column of paths, or no folder that they start from; a path leads
            out of it.
    """

    def __init__(self, table: Path, names: list[str], options: PathOptions) -> None:
        if options.path_column not in names:
            raise DataError(
                f"{table}: line 1: no column {options.path_column!r} beside the labels; there are "
                f"{', '.join(map(shown, names[:3]))}. Correct data.path_column."
            )
        self.folder = options.image_folder or table.parent
        if not self.folder.is_dir():
            raise DataError(
                f"{self.folder}: no such folder. Put it there, or set data.image_folder."
            )
        self.names: list[str] = []
        self._column = names.index(options.path_column)
        self._suffix = options.path_suffix or ""
        self._decoding = options.decoding()

    def add(self, where: str, row: list[str]) -> None:
        self.names.append(self.path(where, row))

    def path(self, where: str, row: list[str]) -> str:
        """The file of a row, by its path from the folder on."""
        name = _checked(where, row[self._column], self.folder) + self._suffix
        if not self._suffix and not self.names and not Path(name).suffix:
            _refuse_cut_name(where, self.folder, name)
        return name

    def text(self, row: list[str]) -> str:
        """What the table says in place of the file."""
        return row[self._column]

    def labelled(self, labels: "np.ndarray") -> ImageFiles:
        return ImageFiles(str(self.folder), tuple(self.names), labels, self._decoding)


def _checked(where: str, text: str, folder: Path) -> str:
    """The path from the folder on."""
    if not text.strip():
        raise DataError(f"{where}: names no file. Write its path, or drop the row.")
    path = os.path.relpath(text, folder) if Path(text).is_absolute() else os.path.normpath(text)
    path = path.replace(os.sep, "/")
    if path == "." or path.split("/", 1)[0] == "..":
        raise DataError(
            f"{where}: the path {shown(text)} leads to no file in {folder}. Correct it, or set "
            "data.image_folder to a folder that holds all pictures."
        )
    return path


def _refuse_cut_name(where: str, folder: Path, name: str) -> None:
    """Names without their ending lead to nothing; the files beside tell what it is."""
    ending = next((s for s in SUFFIXES if (folder / f"{name}{s}").is_file()), None)
    if ending and not (folder / name).exists():
        raise DataError(
            f"{where}: {shown(name)} is no file in {folder}, but {shown(name + ending)} is. "
            f"Set data.path_suffix={ending}."
        )


def sound_files(table: Path, options: PathOptions) -> Iterator[tuple[str, str]]:
    """Path in the table, and full path, of each readable regular file within the folder."""
    found = open_table(table, options.delimiter, "Set data.delimiter.", has_header=options.header)
    paths = PathRows(table, found.names, options)
    for line, row in found.rows:
        check_length(where := f"{table}: line {line}", row, found.names)
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
