"""What reaches the disk, and when."""

import os
from collections.abc import Callable
from pathlib import Path

MOST_RIVALS = 100
# Of a file that is read: it is not there as it was written. Of any other error it may be intact.
NOT_AS_WRITTEN = (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError)


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
