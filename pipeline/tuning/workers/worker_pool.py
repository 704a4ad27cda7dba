"""The workers that run on this machine, each a process of its own; one that is lost is replaced."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from pipeline.config.schema import PipelineConfig
from pipeline.core.child_process import last_words
from pipeline.core.errors import ConfigError, StageError
from pipeline.core.plugins import ROOT
from pipeline.core.processes import cores, death, kill_group, own_group
from pipeline.tuning import workers
from pipeline.tuning.workers.worker import MARK

MOST_LOSSES = 3


@dataclass(frozen=True)
class _Member:
    name: str
    process: subprocess.Popen[bytes]
    folder: Path


class WorkerPool:
    """Worker processes that live as long as the block at the longest."""

    def __init__(
        self,
        config: PipelineConfig,
        images: Path,
        folder: Path,
        *,
        search: str,
        address: str,
        wait_seconds: float,
    ) -> None:
        """Prepares `config.tune.workers` of them.

        Args:
            config: that of the search.
            images: the ingest artifact.
            folder: an empty one for what they leave.
            search: its name, which the chief knows.
            address: where the chief is.
            wait_seconds: for how long, at the most, until it is there.
        """
        self._config, self._count = config, config.tune.workers
        self._given = {
            "config": config.model_dump(mode="json"),
            "images": str(images.resolve()),
            "address": address,
            "wait_seconds": wait_seconds,
            "threads": threads_of_each(self._count),
            "parent": os.getpid(),
        }
        self._search, self._folder = search, folder
        self._members: list[_Member] = []
        self._losses_at_start = 0
        self._trials = 0

    def __enter__(self) -> "WorkerPool":
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for member in self._members:
            _kill(member.process)

    @property
    def is_at_work(self) -> bool:
        return bool(self._members)

    @property
    def trials(self) -> int:
        """How many trials its members have begun."""
        return self._trials + sum(_begun(member) for member in self._members)

    @property
    def process_ids(self) -> Mapping[str, int]:
        """Of each member by its name."""
        return {member.name: member.process.pid for member in self._members}

    def started(self, worker: str) -> bool:
        return any(member.name == worker for member in self._members)

    def tend(self) -> list[str]:
        """Replaces members that a signal ended; gives their names.

        Raises:
            ConfigError: one found something wrong with the config or the call.
            StageError: one ended otherwise, or they do not survive their start.
        """
        lost = []
        for member in [m for m in self._members if m.process.poll() is not None]:
            self._members.remove(member)
            self._trials += _begun(member)
            code = member.process.returncode
            _kill(member.process)
            if code and not death(code):
                kind = ConfigError if code == ConfigError.exit_code else StageError
                raise kind(f"tune: a worker cannot work: {_last_words(member)}")
            if death(code):
                self._replace(member)
                lost.append(member.name)
        return lost

    def _replace(self, member: _Member) -> None:
        if not _begun(member):
            self._losses_at_start += 1
        if self._losses_at_start == MOST_LOSSES:
            how = death(member.process.returncode).replace("was", "were", 1)
            raise StageError(
                f"tune: {MOST_LOSSES} workers {how} at their start; is there memory for "
                f"{self._count}? Lower tune.workers"
            )
        self._start()

    def _start(self) -> None:
        name = f"{self._search}-{uuid4().hex}"
        folder = self._folder / name
        folder.mkdir()
        task = folder / "task.json"
        task.write_text(json.dumps({**self._given, "name": name}), encoding="utf-8")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", workers.__name__, str(task)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                **own_group(),
            )
        self._members.append(_Member(name, process, folder))


def threads_of_each(workers: int) -> int:
    """TensorFlow threads of a worker: its share of the cores, or as the environment has it."""
    said = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(said) if said.isdecimal() else max(1, cores() // workers)


def _begun(member: _Member) -> int:
    return len(list(member.folder.glob(MARK.format("*"))))


def _last_words(member: _Member) -> str:
    text = (member.folder / "log").read_text(encoding="utf-8", errors="replace")
    return last_words(text) or f"ended with exit code {member.process.returncode}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills it, and all that it started."""
    kill_group(process)
    process.wait()
