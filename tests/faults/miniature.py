"""The program with stages that only write files; each try is a forked process of its own.

    python -m tests.faults.miniature SOCKET REPORT

It answers requests on a socket, whose number it inherits: a fork costs milliseconds, a start of
Python and its imports half a second. REPORT is a file that it maps into memory, so that a try tells
how it went without a system call that a fault could hit.
"""

import ctypes
import io
import json
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

from export.formats import verdict
from pipeline.cli import main, options
from pipeline.core.errors import StageError
from pipeline.core.signals import ASKING, interruptible
from pipeline.training.checkpoint import Checkpoint, CheckpointFile, State
from pipeline.workflow import execute
from pipeline.workflow.stage import StageContext, StageResult

REPORT_BYTES, STAGE_BYTES = 1 << 20, 32
ALLOW_ANY_TRACER = (0x59616D61, ctypes.c_ulong(-1))  # PR_SET_PTRACER, PR_SET_PTRACER_ANY
BEGUN = "plan and record"
CHUNKS, CHUNK = 3, bytes(range(256)) * 64
LIBC = ctypes.CDLL(None, use_errno=True)


class Text(io.TextIOWrapper):
    """What is printed, as Python's own stream would take it; needs no system call."""

    def __init__(self, errors: str) -> None:
        super().__init__(io.BytesIO(), "utf-8", errors=errors)

    @property
    def text(self) -> str:
        self.seek(0)
        return self.read()


class Report:
    """What a try tells: at which stage it is, and in the end its exit code and output."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(REPORT_BYTES)
            self._memory = mmap.mmap(file.fileno(), REPORT_BYTES)

    def clear(self) -> None:
        self._memory[: STAGE_BYTES + 8] = bytes(STAGE_BYTES + 8)

    def at(self, stage: str) -> None:
        self._memory[:STAGE_BYTES] = stage.encode().ljust(STAGE_BYTES, b"\0")

    @property
    def stage(self) -> str:
        return self._memory[:STAGE_BYTES].rstrip(b"\0").decode()

    def end(self, values: dict[str, Any]) -> None:
        data = json.dumps(values).encode()[: REPORT_BYTES - STAGE_BYTES - 8]
        self._memory[STAGE_BYTES + 8 : STAGE_BYTES + 8 + len(data)] = data
        self._memory[STAGE_BYTES : STAGE_BYTES + 8] = len(data).to_bytes(8, "little")

    def values(self) -> dict[str, Any]:
        length = int.from_bytes(self._memory[STAGE_BYTES : STAGE_BYTES + 8], "little")
        return json.loads(self._memory[STAGE_BYTES + 8 : STAGE_BYTES + 8 + length] or b"{}")


def stage_of(report: Report, name: str) -> SimpleNamespace:
    """Stands for the module of a stage."""

    def run(context: StageContext) -> StageResult:
        report.at(name)
        (context.output / "small.txt").write_text(f"{name} of {len(context.inputs)}\n")
        inner = context.output / "inner" / "1"
        inner.mkdir(parents=True)
        with (inner / "large.bin").open("wb") as file:
            for _ in range(CHUNKS):
                file.write(name.encode() + CHUNK)
        if name == "tune":
            (context.output / "best.yaml").write_text("train.learning_rate: 0.005\n")
        if name == "verify":
            verdict.write(verdict.Verdict(0, 1.0, 1, 0, 0, ()), context.output / verdict.FILE_NAME)
        report.at(f"{name}, publishing")
        return StageResult(f"made {name}", {"figure": 1})

    return SimpleNamespace(run=run)


def run(report: Report, arguments: Sequence[str]) -> Any:
    """The whole command line, from its arguments to its exit code."""

    @contextmanager
    def telling() -> Iterator[None]:
        with interruptible():
            report.at(BEGUN)
            yield

    for number in ASKING:  # what is asked before and after is for tests of the whole program
        signal.signal(number, signal.SIG_IGN)
    main.interruptible = telling  # type: ignore[assignment]
    sys.argv = ["run_pipeline.py", *arguments]
    main.main()


def checkpoint(number: int) -> Checkpoint:
    """A made-up moment of a training, the same for the same number."""
    weights = np.full((number + 1, 1000), number, np.float32)
    states = {"network": State({"number": number}, [weights, weights + 1])}
    return Checkpoint("fingerprint", "machine", number, 0, states, datetime(2026, 1, 1))


def checkpoints(report: Report, arguments: Sequence[str]) -> None:
    """Writes so many checkpoints of a made-up training, one after the other."""
    folder, count = arguments
    file = CheckpointFile(Path(folder))
    for number in range(int(count)):
        try:
            file.write(checkpoint(number))
        except StageError as error:
            sys.exit(f"error  {error}")
        report.at(str(number))


ACTIONS: dict[str, Callable[[Report, Sequence[str]], Any]] = {
    "run": run,
    "checkpoints": checkpoints,
}


def serve(connection: socket.socket, report: Report) -> None:
    with connection.makefile("r", encoding="utf-8") as requests:
        while line := requests.readline():
            asked = json.loads(line)
            report.clear()
            child = os.fork()
            if not child:
                _be_the_try(report, **asked)
            _answer(connection, child)
            requests.readline()  # until then its process id is its own, though it may have ended
            _answer(connection, os.waitpid(child, 0)[1])


def _answer(connection: socket.socket, value: int) -> None:
    connection.send(f"{value}\n".encode())  # not a write, which is among the faults


def _be_the_try(
    report: Report,
    action: str,
    arguments: list[str],
    burn: list[int],
    limits: dict[str, int],
    user: int | None,
) -> None:
    """Does the action in a process group of its own; never returns.

    Args:
        report: where it tells.
        action: which.
        arguments: what it is to act on.
        burn: a system call's number, and how often to call it in vain before.
        limits: of resources, by the names of the module `resource`.
        user: as whom to do it.
    """
    code, caught = 0, ""
    sys.stdout, sys.stderr = out, err = Text("strict"), Text("backslashreplace")
    options.console.file = out
    try:
        os.setsid()
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if user is not None:
            os.setresuid(user, user, user)
        number, times = burn
        for _ in range(times):
            LIBC.syscall(number, -1, -1, -1, -1, -1)
        ACTIONS[action](report, arguments)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        caught = ended.code if isinstance(ended.code, str) else ""
    except BaseException:
        code, caught = 1, traceback.format_exc()
    report.end({"code": code, "out": out.text, "err": err.text + caught})
    os._exit(0)


def _warm_up(report: Report) -> None:
    """Imports and caches all that a try needs, so that a try's system calls are its own."""
    execute.environment = SimpleNamespace(describe=dict)  # type: ignore[assignment]  # asks git
    execute.importlib = SimpleNamespace(  # type: ignore[assignment]
        import_module=lambda name: stage_of(report, name.rpartition(".")[2])
    )
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        for _ in range(2):
            with suppress(SystemExit):
                run(report, ["run", "--artifacts", f"{folder}/artifacts"])
        checkpoints(report, [folder, "1"])


if __name__ == "__main__":
    _number, _path = sys.argv[1:]
    LIBC.prctl(*ALLOW_ANY_TRACER, 0, 0, 0)
    _report = Report(Path(_path))
    _warm_up(_report)
    serve(socket.socket(fileno=int(_number)), _report)
