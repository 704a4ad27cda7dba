"""Child processes that may crash or hang: what they said, and how they ended."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.core.plugins import ROOT
from pipeline.core.processes import death, kill_group, own_group

POLL_SECONDS = 0.25
# Below the time after which a pending interrupt is raised again, so that cleaning up is not cut.
GRACE_SECONDS = 1.2


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: its exit code; minus the signal's number where one killed it.
        is_late: it was stopped because its time was up.
    """

    code: int
    out: str
    err: str
    is_late: bool = False

    @property
    def how(self) -> str:
        """In words, where it did not end well."""
        if self.is_late:
            return "did not end in time"
        return death(self.code) or f"ended with exit code {self.code}"


def run(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str],
    while_waiting: Callable[[str], None] = lambda out: None,
) -> Ended:
    """Runs a command in the program's folder; what it started ends with it, also on Ctrl-C.

    Args:
        command: the program and its arguments.
        timeout_seconds: after this it is stopped.
        environment: variables that it has beside those of this process.
        while_waiting: is now and then given what the command wrote so far.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**os.environ, **environment},
        **own_group(),
    ) as process:
        try:
            return _converse(process, timeout_seconds, while_waiting)
        finally:
            _end(process)


def _converse(
    process: subprocess.Popen[str], timeout_seconds: float, while_waiting: Callable[[str], None]
) -> Ended:
    deadline = time.monotonic() + timeout_seconds
    is_late = False
    while True:
        try:
            out, err = process.communicate(timeout=POLL_SECONDS)
            return Ended(process.returncode, out, err, is_late)
        except subprocess.TimeoutExpired as pending:
            while_waiting((pending.output or b"").decode(errors="replace"))
        if not is_late and time.monotonic() > deadline:
            is_late = True
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Asks the child to end, so that it ends its own children; then kills its group."""
    if process.poll() is None and sys.platform != "win32":  # which ends a process without asking
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            process.terminate()
            process.wait(GRACE_SECONDS)
    kill_group(process)
