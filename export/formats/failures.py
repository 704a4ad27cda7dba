"""`failures.json`: which formats could not be written, and why."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.os_errors import DISK, MEMORY

FILE_NAME = "failures.json"
TOO_LONG = re.compile("took longer than")
# By the system, or by a person; a library that gives up ends by SIGABRT or SIGSEGV each time.
ENDED = re.compile(
    r"was cancelled|killed by SIG(KILL|TERM|INT|HUP|BUS|XCPU|XFSZ)"
    r"|MemoryError|ResourceExhausted|too many open files",
    re.IGNORECASE,
)


def write(reasons: Mapping[str, str], folder: Path) -> None:
    (folder / FILE_NAME).write_text(json.dumps(reasons, indent=2) + "\n", "utf-8")


def read(folder: Path) -> dict[str, str]:
    """The reason by format; empty if all were written."""
    reasons: dict[str, str] = json.loads((folder / FILE_NAME).read_text("utf-8"))
    return reasons


def may_pass(reason: str) -> bool:
    """Whether it lay in time, memory or a disk, which may be otherwise another time."""
    return any(pattern.search(reason) for pattern in (TOO_LONG, ENDED, MEMORY, DISK))


def advised(reason: str) -> str:
    """The reason why a format could not be written, and what to do unless it says so itself."""
    if "export.formats" in reason:
        return reason
    if TOO_LONG.search(reason):
        return f"{reason}; raise export.timeout_seconds, or run the same command again"
    if may_pass(reason):
        return f"{reason}; running the same command again tries again"
    return f"{reason}; it would fail the same way again: leave it out of export.formats"
