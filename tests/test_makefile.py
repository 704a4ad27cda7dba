"""`make`: what it says that it does, and what it says before it takes minutes."""

import re
import shutil
import subprocess

import pytest

from pipeline.core.plugins import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not there")


def make(*arguments, cwd=ROOT):
    done = subprocess.run(
        ["make", *arguments], cwd=cwd, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_help_has_a_line_for_each_target():
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = [line.split() for line in make("help")]
    assert [line[:2] for line in lines] == [["make", name] for name in targets.split()]
    assert all(line[2:] for line in lines)


@pytest.mark.parametrize("target", [[], ["run"], ["test"], ["lint"]])
def test_before_a_first_install_it_says_what_that_takes_and_pip_shows_its_progress(
    tmp_path, target
):
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    lines = make("--dry-run", *target, cwd=tmp_path)
    said = next(number for number, line in enumerate(lines) if "2.9 GB" in line)
    installs = [number for number, line in enumerate(lines) if " pip install " in line]
    assert said < installs[0]
    assert not any("--quiet" in line for line in lines)
    assert any("run_pipeline.py" in line for line in lines) == (target in ([], ["run"]))
