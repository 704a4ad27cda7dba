"""What reaches the disk, and when."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MOST_RIVALS = 100
# Of a file that is read: it is not there as it was written. Of any other error it may be intact.
NOT_AS_WRITTEN = (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError)


def sync(path: Path) -> None:
    """Waits until the disk has a file, or the names in a folder.

    Windows opens no folder: it keeps a journal of the names in one, in their order.
    """
    if sys.platform == "win32" and path.is_dir():
        return
    # Windows waits for no file that is open for reading alone.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    """On a Mac fsync() leaves the bytes in the memory of the disk, which a power cut takes."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # not every file system there has it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


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
