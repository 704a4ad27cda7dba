"""Runs a function in a child process, so that its crash or hang is only an answer here.

The child is `python -m pipeline.core.child_process module:function parent`, the latter a process
id. It reads the argument as JSON from its standard input and writes each value that the function
yields as one line of JSON. It does not outlive its parent.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.core.processes import death, is_there, kill_group, own_group

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.25
ORPHAN_POLL_SECONDS = 0.5
# Keras imports these if it can, for layers and plots that no child uses: 2 s of its 7 s.
UNUSED_BY_KERAS = ("sklearn", "matplotlib")
# On the processor: a GPU may round to TF32, and its memory belongs to the process that trained.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONHASHSEED": "0",  # tf2onnx numbers nodes in the order of a set
}
LOG_LINE = re.compile(r"^([IWEF]\d{4} |\d{4}-\d\d-\d\d |WARNING: |INFO: |\s|$)")


@dataclass(frozen=True)
class Outcome:
    """What a child did.

    Attributes:
        values: all that the function yielded before it ended, in order.
        failure: why the child did not end well; empty where it did.
    """

    values: tuple[Any, ...]
    failure: str = ""


def call(
    function: str,
    argument: Any,
    *,
    timeout_seconds: float,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Calls a generator function in a fresh interpreter.

    Args:
        function: as `module:function`.
        argument: its only argument; JSON-able.
        timeout_seconds: after this the child, and all that it started, is killed.
        is_cancelled: asked now and then; true kills the child.
    """
    with _as_file(argument) as given, _start(function, given) as process:
        try:
            stdout, stderr, failure = _converse(process, timeout_seconds, is_cancelled)
        finally:
            kill_group(process)
    if not failure and process.returncode:
        failure = _cause(process.returncode, stderr)
    values = [json.loads(line) for line in stdout.splitlines(keepends=True) if line.endswith("\n")]
    return Outcome(tuple(values), failure)


@contextmanager
def _as_file(argument: Any) -> Iterator[IO[str]]:
    """Gives it as a file: what communicate() has not sent by its first timeout it never sends.

    Raises:
        OSError: the folder for temporary files does not take it; names that folder.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as given:
        try:
            json.dump(argument, given)
            given.seek(0)
        except OSError as error:
            with suppress(OSError):
                given.close()  # tries once more to write
            raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
        yield given


def _start(function: str, given: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.core.child_process", function, str(os.getpid())],
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        **own_group(),
    )


def _converse(
    process: subprocess.Popen[str],
    timeout_seconds: float,
    is_cancelled: Callable[[], bool],
) -> tuple[str, str, str]:
    """Gives all of stdout and stderr, and why the child had to be killed if it had to be."""
    deadline = time.monotonic() + timeout_seconds
    failure = ""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return *process.communicate(timeout=POLL_SECONDS), failure
        if is_cancelled():
            failure = "was cancelled"
        elif time.monotonic() > deadline:
            failure = f"took longer than {timeout_seconds:g} s"
        if failure:
            kill_group(process)


def last_words(text: str) -> str:
    """The last line that is no log's; empty where there is none."""
    lines = [line for line in text.splitlines() if not LOG_LINE.match(line)]
    return lines[-1].strip() if lines else ""


def _cause(returncode: int, stderr: str) -> str:
    last = last_words(stderr)
    killed = death(returncode)
    if not killed:
        return last or f"ended with exit code {returncode}"
    return f"{killed}: {last}" if last else killed


def _serve(function: str, parent: int) -> None:
    """The child's side. Libraries print to standard output, so it is sent to stderr instead."""
    end_with_parent(parent)
    for unused in UNUSED_BY_KERAS:
        sys.modules[unused] = None  # type: ignore[assignment]  # as if it were not installed
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        module, _, name = function.partition(":")
        for value in getattr(importlib.import_module(module), name)(json.load(sys.stdin)):
            answers.write(json.dumps(value) + "\n")
            answers.flush()


def end_with_parent(parent: int) -> None:
    """Has this process end soon after its parent died, however that happened."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while is_there(parent):
        time.sleep(ORPHAN_POLL_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
