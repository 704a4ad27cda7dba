"""What every test of faults shares: a server of tries, what a folder shows, and its recovery."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import MappingProxyType
from typing import Any

from pipeline.core.errors import DamagedArtifactError
from pipeline.core.plugins import ROOT
from pipeline.core.sealed_json import SEAL
from pipeline.store.artifact import MANIFEST, open_artifact
from tests.faults.miniature import Report

PASSING = ("created", "seconds", SEAL)
POLL_SECONDS = 0.0005
NO_FAULT = (0, 0)
NO_LIMITS: Mapping[str, int] = MappingProxyType({})
MUST_BE_EMPTY = (".staging", ".claims", ".locks", ".scratch")


@dataclass(frozen=True)
class Ended:
    """How a try ended: by which signal, or with which exit code and output; and at which stage."""

    signal: int
    stage: str
    code: int = -1
    out: str = ""
    err: str = ""

    @property
    def published(self) -> set[str]:
        """The stages that said what they had made."""
        return {line.split()[1] for line in self.out.splitlines() if line.startswith(" " * 9)}


class Server:
    """Forks tries from a process that has all imports behind it."""

    def __init__(self, module: str, report: Path) -> None:
        self._report = Report(report)
        mine, theirs = socket.socketpair()
        self._socket, self._answers = mine, mine.makefile("r")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno()), str(report)],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        action: str,
        *arguments: object,
        burn: Sequence[int] = NO_FAULT,
        limits: Mapping[str, int] = NO_LIMITS,
        user: int | None = None,
    ) -> int:
        """Begins a try; gives its process id, which is that of its group too."""
        asked = {
            "action": action,
            "arguments": [str(a) for a in arguments],
            "burn": list(burn),
            "limits": dict(limits),
            "user": user,
        }
        self._socket.sendall(json.dumps(asked).encode() + b"\n")
        return int(self._answers.readline())

    def end(self) -> Ended:
        """Waits for the end of the try that was begun."""
        self._socket.sendall(b"\n")
        status = int(self._answers.readline())
        if os.WIFSIGNALED(status):
            return Ended(os.WTERMSIG(status), self._report.stage)
        return Ended(0, self._report.stage, **self._report.values())

    @property
    def stage(self) -> str:
        """The stage at which the try is that was begun."""
        return self._report.stage

    def await_beginning(self) -> None:
        """Waits until the try that was begun heeds signals."""
        while not self.stage:
            time.sleep(POLL_SECONDS)

    def await_stage(self, stage: str, timeout_seconds: float) -> None:
        """Waits until the try that was begun is at that stage, but no longer than so."""
        deadline = time.monotonic() + timeout_seconds
        while not self.stage.startswith(stage) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def run(
        self,
        *arguments: object,
        limits: Mapping[str, int] = NO_LIMITS,
        user: int | None = None,
    ) -> Ended:
        """Calls the program."""
        self.start("run", *arguments, limits=limits, user=user)
        return self.end()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
        self.process.wait()


@contextmanager
def serving(module: str = "tests.faults.miniature") -> Iterator[Server]:
    with NamedTemporaryFile() as report:
        server = Server(module, Path(report.name))
        try:
            server.run("--help")  # answered when it has warmed up
            yield server
        finally:
            server.close()


def shown(folder: Path, passing_over: Collection[str] = ()) -> dict[str, Any]:
    """The artifacts that a folder shows its readers, without what differs between two runs.

    Bytes by the names of files. What is damaged fails an assertion.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("[!.]*/*")):
        if path.parent.name in ("runs", *passing_over):
            continue
        try:
            artifact = open_artifact(path)
        except DamagedArtifactError as error:
            raise AssertionError(f"visible and damaged: {error}") from error
        assert artifact.damage is None, artifact.damage
        assert path.relative_to(folder).parts == (artifact.stage, artifact.key)
        for file in filter(Path.is_file, path.rglob("*")):
            found[str(file.relative_to(folder))] = _content(file, artifact.manifest)
    return found


def _content(file: Path, manifest: Any) -> Any:
    if file.name != MANIFEST:
        return file.read_bytes()
    return {key: value for key, value in manifest.items() if key not in PASSING}


def stages_in(found: dict[str, Any]) -> set[str]:
    return {name.partition("/")[0] for name in found}


def assert_runs_are_whole(folder: Path) -> None:
    for run in (folder / "runs").glob("*"):
        record = json.loads((run / "run.json").read_text())
        for stage in record["stages"]:
            assert (run / stage["stage"]).resolve().name == stage["key"]


def assert_a_part(found: dict[str, Any], reference: dict[str, Any]) -> None:
    """Whatever is there is whole, and what the reference has."""
    stages = stages_in(found)
    assert found == {n: v for n, v in reference.items() if n.partition("/")[0] in stages}


def assert_recovered(
    folder: Path, again: Ended, reference: dict[str, Any], *, set_aside: bool = False
) -> None:
    """After a rerun all is there as if nothing had happened, and nothing is left of the fault.

    Args:
        folder: of the artifacts.
        again: how the rerun ended.
        reference: what the folder shows where nothing happened.
        set_aside: whether something was damaged before, and may lie in quarantine.
    """
    assert (again.signal, again.code, again.err) == (0, 0, ""), again
    assert shown(folder) == reference
    assert_runs_are_whole(folder)
    empty = MUST_BE_EMPTY if set_aside else (*MUST_BE_EMPTY, ".quarantine")
    left = [path for name in empty for path in (folder / name).glob("*")]
    assert left == []


def assert_told(ended: Ended, folder: Path, remedy: str) -> None:
    """One line names a file in the folder and the remedy, and the exit code agrees."""
    assert ended.code in (1, 2), ended
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("error  "), ended.err
    assert str(folder) in lines[0], ended.err
    assert remedy in lines[0], ended.err
