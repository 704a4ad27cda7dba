"""The package that `pip install .` makes: what it holds, and what it can be called by."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.cli import main
from pipeline.config.loading import load_config
from pipeline.core.plugins import ROOT
from tests.command_line import call_here

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HELD = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
NOTEBOOK = ROOT / "examples" / "smoke.ipynb"


def test_the_ranges_admit_each_pin_and_name_nothing_else():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {r.name: r for r in map(Requirement, filter(re.compile(r"\w").match, lines))}
    ranges = {r.name: r for r in map(Requirement, PROJECT["project"]["dependencies"])}
    assert ranges.keys() == pins.keys()
    for name, pin in pins.items():
        (version,) = (str(part.version) for part in pin.specifier)
        assert ranges[name].specifier.contains(version, prereleases=True)
        assert ranges[name].marker == pin.marker


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of libraries with the package as it would be installed, without its images."""
    site = tmp_path_factory.mktemp("site")
    for source, target in HELD.items():
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            bulk = shutil.ignore_patterns("__pycache__", "*.gz")
            shutil.copytree(ROOT / source, site / target, ignore=bulk)
        else:
            shutil.copyfile(ROOT / source, site / target)
    return site


def test_installed_it_finds_its_configs_by_name_and_works_where_one_is(site, tmp_path):
    assert [path.name for path in site.iterdir()] == ["evenkeel"]
    code = (
        "import sys, evenkeel\n"
        "assert evenkeel.load_config('classic/two_conv').name == 'two_conv'\n"
        "from pipeline.core.environment import git_commit\n"
        "assert git_commit() is None\n"
        "sys.argv = ['evenkeel', 'status', '-c', 'cifar10']\n"
        "from evenkeel.run_pipeline import command\n"
        "command()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("cifar10 in artifacts\n")
    assert list(tmp_path.iterdir()) == []


def test_installed_it_says_its_version_where_a_checkout_says_its_commit(site, tmp_path):
    (tmp_path / "evenkeel-9.8.7.dist-info").mkdir()
    told = "Metadata-Version: 2.4\nName: evenkeel\nVersion: 9.8.7\n"
    (tmp_path / "evenkeel-9.8.7.dist-info" / "METADATA").write_text(told, encoding="utf-8")
    code = (
        "import sys, evenkeel\n"
        "sys.argv = ['evenkeel', '--version']\n"
        "from evenkeel.run_pipeline import command\n"
        "command()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Evenkeel 9.8.7; Python 3.")


def test_a_config_here_goes_before_one_that_comes_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("smoke")).train.epochs == 4
    (tmp_path / "own.yaml").write_text("extends: smoke\ntrain: {epochs: 5}\n", encoding="utf-8")
    assert load_config(Path("own.yaml")).train.epochs == 5
    (tmp_path / "configs").mkdir()
    text = "extends: mnist\ntrain: {epochs: 7}\n"
    (tmp_path / "configs" / "smoke.yaml").write_text(text, encoding="utf-8")
    assert load_config(Path("configs/smoke.yaml")).train.epochs == 7
    assert load_config(Path("smoke")).train.epochs == 4


@pytest.mark.parametrize(
    ("typed", "found"),
    [("evenkeel r", ["run", "runs", "recommend"]), ("evenkeel status --art", ["--artifacts"])],
)
def test_a_shell_that_asks_is_told_what_may_be_typed_next(monkeypatch, typed, found):
    monkeypatch.setenv(main.COMPLETION, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert call_here().stdout.split() == found


def test_the_notebook_runs_and_shows_what_it_did(smoke_run, tmp_path, monkeypatch, capsys):
    shutil.copytree(smoke_run, tmp_path / "artifacts", symlinks=True)
    monkeypatch.chdir(tmp_path)
    known = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        value = repr(executed("".join(cell["source"]), known))
        shown = [o["data"]["text/plain"] for o in cell["outputs"] if "data" in o] or [["None"]]
        assert re.split("[, ]", value)[0] == re.split("[, ]", shown[0][0])[0]
    assert "Nothing changed: every artifact is up to date.\n" in capsys.readouterr().out
    assert known["answer"](known["images"]).shape == (5, 10)
    assert NOTEBOOK.stat().st_size < 20_000


def executed(source, known):
    """What the last line of a cell is worth, if it is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), known)
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), known) if last else None
