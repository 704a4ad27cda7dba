"""Programs that a test stands in for, and an artifacts folder in which every stage is made."""

import os
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from pipeline.core.plugins import ROOT
from pipeline.workflow import execute
from tests.workflow.test_execute import Project

EXAMPLES = ROOT / "examples"


class StandIns:
    """A folder of small scripts that come first on the path; each notes how it was called."""

    def __init__(self, folder):
        self._bin, self._notes = folder / "bin", folder / "calls"
        self._bin.mkdir()
        self._notes.touch()
        self.variables = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}"}

    def add(self, name, script=""):
        path = self._bin / name
        note = f'printf "%s\\0" {name} "$@" >>"{self._notes}"; echo >>"{self._notes}"\n'
        path.write_text(f"#!/bin/bash\n{note}{script}\n")
        path.chmod(0o755)
        return path

    def run(self, *command, **variables):
        return subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
        )

    def calls(self, name):
        """The arguments of each call, in order."""
        lines = self._notes.read_text().splitlines()
        words = [line.rstrip("\0").split("\0") for line in lines]
        return [arguments for called, *arguments in words if called == name]


@pytest.fixture
def stand_ins(tmp_path):
    return StandIns(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """An artifacts folder in which the default config's stages are made, in miniature."""
    project = Project(tmp_path_factory.mktemp("made") / "artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "importlib", SimpleNamespace(import_module=project.load))
        patch.setattr(execute.environment, "describe", dict)
        project.run()
    return project.store.root


def required(name):
    """Finds a program, or skips the test; where CI is set it fails, so that nothing hides."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    return found
