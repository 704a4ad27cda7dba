"""Processors, limits and child processes, as each system has them.

A child that is to end with all that it started has a process group of its own. Windows has no such
group: there the tree of its children is ended instead, and a crash is a number beyond CRASHED.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

CREATE_NEW_PROCESS_GROUP = 0x200  # of Windows, where alone `subprocess` knows it
CRASHED = 0xC0000000
SIGKILL = 9


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # of Linux alone
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def address_space_bytes() -> int | None:
    """How much this process may take at the most; none where nothing limits it."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if allowed == resource.RLIM_INFINITY else allowed


def own_group() -> dict[str, Any]:
    """What Popen takes for a child that Ctrl-C does not reach, and kill_group() does."""
    if sys.platform == "win32":
        return {"creationflags": CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def kill_group(process: "subprocess.Popen[Any]") -> None:
    """Kills a child that has its own group, and what it started, which may outlive it."""
    if sys.platform == "win32":
        if process.poll() is None:
            end = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
            subprocess.run(end, capture_output=True)
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)


def death(exit_code: int) -> str:
    """What ended a process that did not end by itself, in words; empty where it did."""
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"crashed ({exit_code:#x})" if exit_code >= CRASHED else ""


def is_there(parent: int) -> bool:
    """Whether the process that started this one, by way of others or not, still runs."""
    if sys.platform == "win32":  # which has a process in between for each virtual environment
        import psutil

        return bool(psutil.pid_exists(parent))
    return os.getppid() == parent
