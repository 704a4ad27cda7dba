"""Lists what lies in a folder of pictures, trusting no name and no link."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.text import printable
from pipeline.data.images.decoding import SUFFIXES

# Pictures all the same: they are listed, and then refused by name, lest they go missing unseen.
OTHER_PICTURES = (
    ".apng", ".avif", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jp2", ".jxl", ".tga",
    ".tif", ".tiff",
)  # fmt: skip
LISTED = (*SUFFIXES, *OTHER_PICTURES)
OF_MAC_ARCHIVES = "__MACOSX"


@dataclass(frozen=True)
class Place:
    """A folder within the data folder, and what lies directly in it.

    Attributes:
        name: its path from the data folder on; empty for the data folder itself.
        folders: names of the folders in it, in order of their code points.
        picture: the first name of a picture that lies beside them; empty if there is none.
    """

    name: str
    folders: tuple[str, ...]
    picture: str


@dataclass
class Listing:
    """The pictures in a folder and in the folders below it.

    Attributes:
        names: their paths from the data folder on, in order of their code points.
        unsound: those that are no readable regular file within the data folder.
        other: the first file that is no picture; empty if there is none.
    """

    names: list[str] = field(default_factory=list)
    unsound: set[str] = field(default_factory=set)
    other: str = ""


def look_into(root: Path, name: str = "") -> Place:
    """What lies directly in a folder; hidden files and folders do not count.

    Raises:
        DataError: it cannot be read, or a folder in it is a link that leads out of the data, or
            has a name that is no text; a link in it leads nowhere.
    """
    folders, pictures = [], []
    for entry in _entries(root, name):
        if _is_folder(entry):
            _refuse_folder(root, entry)
            folders.append(entry.name)
        elif entry.name.lower().endswith(LISTED):
            pictures.append(entry.name)
        elif not _mode(entry.path):
            raise DataError(
                f"{printable(entry.path)}: is a link that leads nowhere. Mend it, or remove it."
            )
    return Place(name, tuple(sorted(folders)), min(pictures, default=""))


def list_pictures(root: Path, name: str) -> Listing:
    """All pictures in a folder and in the folders below it, each folder once.

    Raises:
        DataError: a folder cannot be read.
    """
    walk = _Walk(root, name)
    walk.listing.names.sort()
    return walk.listing


class _Walk:
    """Links are followed last, so that a folder is listed by its own name where it has one."""

    def __init__(self, root: Path, name: str) -> None:
        self.listing = Listing()
        self._root, self._base = root, os.path.realpath(root / name)
        self._known: set[str] = set()
        self._links: list[tuple[str, str]] = []
        self._list_below(name, self._base)
        while self._links:
            self._list_below(*self._links.pop(0))

    def _list_below(self, path: str, real: str) -> None:
        """Lists a folder, given by its path from the data folder on and without links."""
        waiting = [(path, real)]
        while waiting:
            path, real = waiting.pop()
            if real in self._known:
                continue
            self._known.add(real)
            for entry in _entries(self._root, path):
                if not entry.is_symlink() and entry.is_dir():
                    waiting.append((f"{path}/{entry.name}", f"{real}{os.sep}{entry.name}"))
                else:
                    self._add(f"{path}/{entry.name}", entry)

    def _add(self, path: str, entry: "os.DirEntry[str]") -> None:
        if entry.is_symlink():
            self._add_link(path, os.path.realpath(entry))
        elif path.lower().endswith(LISTED):
            self._add_picture(path, is_sound=entry.is_file() and os.access(entry, os.R_OK))
        else:
            self.listing.other = self.listing.other or path

    def _add_link(self, path: str, target: str) -> None:
        """A folder that holds the class itself is no part of it."""
        is_inside, mode = _is_inside(self._root, target), _mode(target)
        if is_inside and stat.S_ISDIR(mode):
            if not Path(self._base).is_relative_to(target):
                self._links.append((path, target))
        elif path.lower().endswith(LISTED) or not is_inside or not mode:
            is_readable = stat.S_ISREG(mode) and os.access(target, os.R_OK)
            self._add_picture(path, is_sound=is_inside and is_readable)
        else:
            self.listing.other = self.listing.other or path

    def _add_picture(self, path: str, *, is_sound: bool) -> None:
        self.listing.names.append(path)
        if not is_sound:
            self.listing.unsound.add(path)


def _entries(root: Path, name: str) -> "Iterator[os.DirEntry[str]]":
    place = root / name
    try:
        with os.scandir(place) as found:
            yield from (entry for entry in found if not _is_hidden(entry.name))
    except OSError as error:
        raise DataError(
            f"{printable(str(place))}: cannot be read ({error.strerror}). Check the folder."
        ) from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == OF_MAC_ARCHIVES


def _mode(path: str) -> int:
    """Of what the path leads to; 0 where that is nothing."""
    try:
        return Path(path).stat().st_mode
    except OSError:
        return 0


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _refuse_folder(root: Path, entry: "os.DirEntry[str]") -> None:
    where = printable(entry.path)
    if entry.is_symlink() and not _is_inside(root, os.path.realpath(entry)):
        raise DataError(
            f"{where}: is a link that leads out of the data folder. Copy what it leads to."
        )
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: its name is not UTF-8. Rename the folder.") from error


def _is_inside(root: Path, target: str) -> bool:
    return Path(target).is_relative_to(os.path.realpath(root))
