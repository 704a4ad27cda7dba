"""The shell scripts of all examples are sound."""

import subprocess

import pytest

from tests.examples.conftest import EXAMPLES, required

SCRIPTS = sorted([*EXAMPLES.rglob("*.sh"), *EXAMPLES.rglob("*.sbatch")])


def test_there_are_scripts():
    assert len(SCRIPTS) == 4


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bash_reads_it_to_its_end(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing():
    done = subprocess.run([required("shellcheck"), *SCRIPTS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_is_called_by_name_may_be_called(path):
    assert path.suffix == ".sbatch" or path.stat().st_mode & 0o111 == 0o111
