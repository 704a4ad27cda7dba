"""What reaches the disk, and when."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

MOST_RIVALS = 100
# Of an error in reading: the file may be intact, and can be read another time.
SAYS_NOTHING_OF_THE_FILE = (
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EACCES,
    errno.EPERM,
)


def sync(path: Path) -> None:
    """Waits until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder, and waits until the disk has the name of each that was missing."""
    insist(lambda: _make(path))


def insist(make: Callable[[], object]) -> None:
    """Makes something in folders that a run which made nothing may be removing, as empty ones."""
    for tries_left in reversed(range(MOST_RIVALS)):
        try:
            make()
        except FileNotFoundError:
            if not tries_left:
                raise
        else:
            return


def _make(path: Path) -> None:
    if not path.is_dir():
        _make(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)
