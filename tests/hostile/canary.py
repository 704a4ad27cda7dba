"""A folder that nothing may touch: every open, read, write or new file there is noticed."""

import ctypes
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACCESS, MODIFY, OPEN, MOVED_TO, CREATE, DELETE = 0x1, 0x2, 0x20, 0x80, 0x100, 0x200
NAMES = {
    ACCESS: "read", MODIFY: "written", OPEN: "opened",
    MOVED_TO: "moved there", CREATE: "made", DELETE: "deleted",
}  # fmt: skip
IS_FOLDER = 0x40000000
HEAD = struct.Struct("iIII")
SECRET_BYTES = 1 << 16


class Canary:
    """Watches a folder by inotify, which sees any process and the libraries below Python."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.secret = folder / "secret.bin"
        self.secret.write_bytes(bytes(SECRET_BYTES))
        libc = ctypes.CDLL(None, use_errno=True)
        self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for place in (folder, self.secret):  # the file too: it may be reached by a hard link
            added = libc.inotify_add_watch(self._file, os.fsencode(place), sum(NAMES))
            assert min(self._file, added) >= 0, os.strerror(ctypes.get_errno())

    def touched(self) -> list[str]:
        """What was done since the last call, such as `secret.bin was opened`."""
        found = []
        try:
            events = os.read(self._file, 1 << 16)
        except BlockingIOError:
            return found
        while events:
            _, mask, _, length = HEAD.unpack_from(events)
            name = events[HEAD.size : HEAD.size + length].rstrip(b"\0").decode() or "the secret"
            done = [word for bit, word in NAMES.items() if mask & bit]
            if not (mask & IS_FOLDER and done == ["opened"]):  # somebody listed it
                found.append(f"{name} was {', '.join(done)}")
            events = events[HEAD.size + length :]
        return found

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True)
class Place:
    """Where a hostile file is made.

    Attributes:
        folder: for the file, empty.
        canary: what it tries to reach.
        exported: an export artifact of this program, to begin with.
    """

    folder: Path
    canary: Canary
    exported: Path | None = None


@dataclass(frozen=True)
class HostileFile:
    """A file that tries to reach a canary.

    Attributes:
        make: writes it; gives its path.
        said: a pattern of what the refusal must say after the path.
        naive: opens it as a careless program would, which must touch the canary; none where no
            library here does so any more.
    """

    make: Callable[[Place], Path]
    said: str
    naive: Callable[[Path], object] | None = None
