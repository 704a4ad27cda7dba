"""Hits a chosen system call of a try with a signal or an error, by strace.

The calls of a name are counted for each process. Every try is told to spend as many in vain as
makes the call that is meant the one that strace hits, so that one strace serves all tries.
"""

import os
import platform
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Of x86-64; by name as strace and the kernel have them.
NUMBERS = {
    "read": 0,
    "write": 1,
    "openat": 257,
    "pwrite64": 18,
    "writev": 20,
    "fsync": 74,
    "fdatasync": 75,
    "ftruncate": 77,
    "rename": 82,
    "renameat": 264,
    "renameat2": 316,
    "mkdir": 83,
    "mkdirat": 258,
    "rmdir": 84,
    "unlink": 87,
    "unlinkat": 263,
    "symlink": 88,
    "symlinkat": 266,
    "link": 86,
    "linkat": 265,
    "chmod": 90,
    "fchmod": 91,
    "fchmodat": 268,
    "utimensat": 280,
    "fallocate": 285,
    "copy_file_range": 326,
    "sendfile": 40,
}
READING = ("read", "openat")
CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
INJECTED = "(INJECTED)"
LONGEST_ATTACH_SECONDS = 20


@dataclass(frozen=True)
class Point:
    """The call to hit: its name, and its place among the calls of that name, from 1."""

    call: str
    place: int

    def __str__(self) -> str:
        return f"{self.call} {self.place}"

    def burn(self, hit_at: int) -> tuple[int, int]:
        return NUMBERS[self.call], hit_at - self.place


def need_strace() -> None:
    """Skips the test where system calls cannot be hit; fails it under CI."""
    why = ""
    if platform.machine() != "x86_64":
        why = f"the numbers of system calls are not known for {platform.machine()}"
    elif not shutil.which("strace"):
        why = "strace is not installed"
    elif subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        why = "strace may not trace here"
    if why:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


@contextmanager
def tracing(process: int, log: Path, *options: str) -> Iterator[None]:
    """Traces what a process and its children do meanwhile; the log is whole afterwards."""
    calls = f"trace={','.join(f'?{name}' for name in NUMBERS)}"
    command = ["strace", "-f", "-y", "-s", "400", "-o", str(log), "-e", calls, *options]
    tracer = subprocess.Popen(
        [*command, "-p", str(process)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert tracer.stderr
    try:
        said = tracer.stderr.readline()
        assert "attached" in said, said
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=LONGEST_ATTACH_SECONDS)


def hitting(fault: str, hit_at: int | str, calls: Sequence[str]) -> list[str]:
    """strace's options that hit, in every process, the call of each name at that place."""
    return [word for call in calls for word in ("-e", f"inject={call}:{fault}:when={hit_at}")]


def changing_points(log: Path, process: int, folder: Path) -> list[Point]:
    """The calls of a process that change something in a folder, in their order."""
    return [
        point
        for point, rest in _points(log, process, folder)
        if point.call not in READING or "O_CREAT" in rest
    ]


def reading_points(log: Path, process: int, folder: Path) -> list[Point]:
    """The calls of a process that read a folder's files, in their order."""
    return [
        point
        for point, rest in _points(log, process, folder)
        if point.call in READING and "O_CREAT" not in rest
    ]


def _points(log: Path, process: int, folder: Path) -> Iterator[tuple[Point, str]]:
    places: Counter[str] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        found = CALL.match(line)
        if not found or int(found[1]) != process:
            continue
        places[found[2]] += 1
        if str(folder) in found[3]:
            yield Point(found[2], places[found[2]]), found[3]


def successful_calls(log: Path) -> list[tuple[str, str]]:
    """All calls of a log that did not fail: their names, and what strace says of each."""
    found = map(CALL.match, log.read_text(errors="replace").splitlines())
    return [(match[2], match[3]) for match in found if match and " = -1 " not in match[3]]


def injected(log: Path) -> Counter[int]:
    """How many calls of each process were hit."""
    found = (CALL.match(line) for line in log.read_text(errors="replace").splitlines())
    return Counter(int(match[1]) for match in found if match and INJECTED in match[3])
