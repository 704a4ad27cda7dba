"""Trains in a child process, one of a job's: TensorFlow joins others only before all else.

The child tells what it does through a pipe. Where another worker of the job is lost, it may end in
an error or be ended by TensorFlow; either way it is said in one line here.
"""

import multiprocessing
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from export.child import end_with_parent
from pipeline import library_trouble
from pipeline.cluster import Cluster
from pipeline.config import PipelineConfig
from pipeline.errors import PipelineError, StageError
from pipeline.progress import Task, quiet_libraries
from pipeline.stages import StageContext, StageResult

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
Train = Callable[[StageContext], StageResult]


def train_in_child(train: Train, context: StageContext, job: Cluster) -> StageResult:
    """Calls `train` in a fresh process; gives what it gives, and passes on what it says.

    Raises:
        StageError: this worker or another one was lost.
        PipelineError: what `train` raised.
    """
    context.progress.line(f"{job.name}: joins {', '.join(job.others)}")
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    sent = replace(context, config=_to_send(context.config), progress=PipedProgress(theirs))
    process = spawn.Process(target=_in_child, args=(train, sent, theirs), daemon=True)
    with quiet_libraries():  # what the child loads before it can keep quiet itself
        process.start()
    theirs.close()
    try:
        result = _listen(ours, context)
        process.join()
    except (EOFError, ConnectionError) as error:
        raise StageError(_words(job)) from error
    finally:
        process.kill()
        process.join()
    return result


def _to_send(config: PipelineConfig) -> PipelineConfig:
    """What training reads of a config; other sections are of types made for it, and cannot go."""
    read = ("name", "seed", "augmentation", "model", "train")
    return PipelineConfig.model_construct(**{name: getattr(config, name) for name in read})


def _listen(pipe: Connection, context: StageContext) -> StageResult:
    with _bar(context) as begin:
        task: Task | None = None
        while True:
            kind, *values = pipe.recv()
            if kind == "line":
                context.progress.line(*values)
            elif kind == "task":
                task = begin(*values)
            elif kind == "advance" and task:
                task.advance(*values)
            elif kind == "result":
                return values[0]
            elif kind == "lost":
                raise EOFError(*values)
            elif kind == "broken":
                raise RuntimeError(*values)
            elif kind == "error":
                raise values[0]


@contextmanager
def _bar(context: StageContext) -> Iterator[Callable[[str, int], Task]]:
    """Gives what begins the bar of the training; it ends with the block."""
    with ExitStack() as stack:
        yield lambda text, total: stack.enter_context(context.progress.task(text, total))


def _words(job: Cluster) -> str:
    silent = [address for address in job.others if not _answers(address)]
    found = f"no answer from {', '.join(silent)}" if silent else "all answer again"
    return (
        f"train: {job.name} lost another worker, or was ended itself ({found}); start the same "
        "command on all machines again, and training goes on from its last checkpoint"
    )


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
        with library_trouble.is_a_stage_error("train"):
            return "result", train(context)
    except PipelineError as error:
        return "error", error
    except Exception as error:
        # Those by which TensorFlow says that a sum over all workers came to nothing.
        is_lost = type(error).__name__ in LOST
        return ("lost", str(error)) if is_lost else ("broken", traceback.format_exc())
