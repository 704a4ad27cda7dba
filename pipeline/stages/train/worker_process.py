"""Trains in a child process, one of a job's: TensorFlow joins others only before all else.

The child tells what it does through a pipe, from when all workers are there. Where one of them is
lost, it may end in an error or be ended by TensorFlow; either way it is said in one line here.
"""

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from pipeline.config.schema import PipelineConfig
from pipeline.config.train.tf_config import VARIABLE, Cluster
from pipeline.core import os_errors
from pipeline.core.child_process import end_with_parent
from pipeline.core.errors import ConfigError, PipelineError, StageError
from pipeline.core.progress import Task, quiet_libraries
from pipeline.workflow.stage import StageContext, StageResult

LINGER_SECONDS = 1.0
LOST = (
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "UnavailableError",
    "UnknownError",
)
PROBE_SECONDS = 2.0
WAIT_SECONDS = 1800.0
Train = Callable[[StageContext], StageResult]


def train_in_child(train: Train, context: StageContext, job: Cluster) -> StageResult:
    """Calls `train` in a fresh process; gives what it gives, and passes on what it says.

    Raises:
        ConfigError: this worker cannot listen at its address.
        StageError: this worker or another one was lost, or did not come.
        PipelineError: what `train` raised.
    """
    _refuse_taken_port(job)
    context.progress.line(f"{job.name}: waits for {', '.join(job.others)}, {_longest()}")
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    sent = replace(context, config=_to_send(context.config), progress=PipedProgress(theirs))
    process = spawn.Process(target=_in_child, args=(train, sent, theirs), daemon=True)
    with quiet_libraries():  # what the child loads before it can keep quiet itself
        process.start()
    theirs.close()
    try:
        result = _listen(ours, context, job)
        process.join()
    finally:
        process.kill()
        process.join()
    return result


def _longest() -> str:
    return f"up to {WAIT_SECONDS / 60:g} minutes"


def _refuse_taken_port(job: Cluster) -> None:
    """Listens for a moment on all addresses of this machine, as TensorFlow is going to."""
    port = int(job.address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        raise ConfigError(
            f"environment variable {VARIABLE}: {job.name} is to listen at {job.address}, but port "
            f"{port} of this machine cannot be used ({os.strerror(error.errno or 0)}); end the "
            "program that has it, or name another port on all machines"
        ) from error


def _to_send(config: PipelineConfig) -> PipelineConfig:
    """What training reads of a config; other sections are of types made for it, and cannot go."""
    read = ("name", "seed", "augmentation", "model", "train")
    return PipelineConfig.model_construct(**{name: getattr(config, name) for name in read})


def _listen(pipe: Connection, context: StageContext, job: Cluster) -> StageResult:
    task: Task | None = None
    if not pipe.poll(WAIT_SECONDS):
        raise StageError(_not_come(job))
    with _bar(context) as begin:
        has_joined = False
        while True:
            kind, *values = _received(pipe)
            if kind in ("lost", "ended"):
                has_come = has_joined or kind == "ended"
                raise StageError(_lost(job, *values) if has_come else _not_come(job))
            has_joined = True
            if kind == "line":
                context.progress.line(*values)
            elif kind == "task":
                task = begin(*values)
            elif kind == "advance" and task:
                task.advance(*values)
            elif kind == "result":
                return values[0]
            elif kind == "broken":
                raise RuntimeError(*values)
            elif kind == "error":
                raise values[0]


def _received(pipe: Connection) -> tuple[Any, ...]:
    try:
        return tuple(pipe.recv())
    except (EOFError, ConnectionError):
        return ("ended",)


@contextmanager
def _bar(context: StageContext) -> Iterator[Callable[[str, int], Task]]:
    """Gives what begins the bar of the training; it ends with the block."""
    with ExitStack() as stack:
        yield lambda text, total: stack.enter_context(context.progress.task(text, total))


def _not_come(job: Cluster) -> str:
    silent = _silent(job)
    found = "no answer there" if silent else "something answers there: see what it says"
    return (
        f"train: {job.name} waited for {', '.join(silent or job.others)}, which did not come "
        f"({found}); start the same command on all machines, each {_longest()} after the first, "
        "and let the port through"
    )


def _lost(job: Cluster, said: str = "") -> str:
    """What a training ended of that needs all workers; where all answer, something else may be."""
    silent = _silent(job)
    found = f"no answer from {', '.join(silent)}" if silent else "all answer again"
    advice = (
        f"train: {job.name} lost another worker, or was ended itself ({found}); start the same "
        "command on all machines again, and training goes on from its last checkpoint"
    )
    if silent or not said.strip():
        return advice
    return f"{advice}; if it comes to the same, see this: {said.strip().splitlines()[0]}"


def _silent(job: Cluster) -> list[str]:
    return [address for address in job.others if not _answers(address)]


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), PROBE_SECONDS):
        return True
    return False


@dataclass(frozen=True)
class PipedProgress:
    """The child's side of the terminal."""

    pipe: Connection

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        self.pipe.send(("task", description, total))
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.pipe.send(("advance", steps, note))

    def line(self, text: str) -> None:
        self.pipe.send(("line", text))


def _in_child(train: Train, context: StageContext, pipe: Connection) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    end_with_parent(int(parent.pid or 0))
    pipe.send(_outcome(train, context))
    time.sleep(LINGER_SECONDS)  # others may still fetch their part of the last sum from here


def _outcome(train: Train, context: StageContext) -> tuple[str, Any]:
    try:
        with os_errors.library_trouble_is_a_stage_error("train"):
            return "result", train(context)
    except PipelineError as error:
        return "error", error
    except Exception as error:
        # Those by which TensorFlow says that a sum over all workers came to nothing.
        is_lost = type(error).__name__ in LOST
        return ("lost", str(error)) if is_lost else ("broken", traceback.format_exc())
