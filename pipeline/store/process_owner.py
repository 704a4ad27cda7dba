"""Owner: which process a working folder belongs to, and whether that has ended."""

import hashlib
import os
import platform
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
MACHINE_ID = Path("/etc/machine-id")
STATE, STARTED = 0, 19  # of /proc/<id>/stat, counted from behind the process's name
# Any other error, such as too many open files, is raised: a wrong name would never be swept.
UNTOLD = (FileNotFoundError, NotADirectoryError, PermissionError, ProcessLookupError)
WRITTEN = re.compile(r"\.([0-9a-f]{8})\.(\d+)\.(\d+)\.")


@dataclass(frozen=True)
class Owner:
    """A process, told apart from later ones that get its number.

    Attributes:
        machine: names the machine and, in a container, the container.
        process: its number there.
        started: when, in Linux' ticks, elsewhere in milliseconds; 0 where the system does not tell.
    """

    machine: str
    process: int
    started: int

    def __str__(self) -> str:
        return f"{self.machine}.{self.process}.{self.started}"

    @property
    def has_ended(self) -> bool:
        """Whether it has for certain: nothing is certain of a process on another machine."""
        return self.machine == _machine() and not _runs(self.process, self.started)


def this_process() -> Owner:
    return Owner(_machine(), os.getpid(), _started(os.getpid()) or 0)


def owner_in(name: str) -> Owner | None:
    """The owner that stands in a name, between dots."""
    if found := WRITTEN.search(name):
        machine, process, started = found.groups()
        return Owner(machine, int(process), int(started))
    return None


def _machine() -> str:
    """Of the machine's name, its number, and the container: each alone may be another's too."""
    parts = [platform.node()]
    with suppress(*UNTOLD, UnicodeDecodeError):
        parts.append(MACHINE_ID.read_text(encoding="utf-8").strip())
    with suppress(*UNTOLD):
        parts.append(str((PROCESSES / "self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


def _runs(process: int, started: int) -> bool:
    now = _started(process)
    if now is not None:
        return now == started
    if sys.platform == "win32":  # where os.kill(…, 0) ends a process
        import psutil

        return bool(psutil.pid_exists(process))
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return not (PROCESSES / "self").exists()


def _started(process: int) -> int | None:
    """When a process started; None if it has ended or the system does not tell."""
    if not (PROCESSES / "self").exists():
        return _started_by_psutil(process)
    try:
        text = (PROCESSES / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except UNTOLD:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[STATE] in "ZX" else int(fields[STARTED])


def _started_by_psutil(process: int) -> int | None:
    """On a Mac and on Windows, which tell of processes in ways of their own."""
    import psutil

    try:
        return int(1000 * psutil.Process(process).create_time())
    except (psutil.Error, OverflowError):
        return None
