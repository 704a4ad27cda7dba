"""doctor: what it prints, how it ends, and that it works where TensorFlow does not."""

import json
import os
import pty
import shlex
import subprocess
import sys

import pytest

from pipeline.cli import doctor as diagnosing
from pipeline.cli import main
from pipeline.core.plugins import ROOT
from pipeline.doctor.finding import Finding

LONG = "a remedy that is long enough to go well beyond the eighty columns of a narrow terminal"
WELL = Finding("disk", "ok", "12.0 GB free")
WARNING = Finding("memory", "warn", "[1] GB of 2 GB available", LONG)
FAILURE = Finding("lock", "fail", "does not work in /x", "name another folder")
SHOWS = """
import sys
from pipeline.cli import main as cli
from pipeline.cli import doctor as diagnosing
from tests.cli.test_doctor import FAILURE, WARNING, WELL
diagnosing.examine = lambda *a, **k: iter((WELL, WARNING, FAILURE))
sys.argv = ["run_pipeline.py", "doctor"]
cli.main()
"""
# Read by every Python that starts with its folder on PYTHONPATH.
WITHOUT_TENSORFLOW = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def doctor(monkeypatch, capsys):
    """Calls doctor on made-up findings; gives exit code, standard output and error."""

    def call(*findings, options=()):
        monkeypatch.setattr(diagnosing, "examine", lambda *a, **k: iter(findings))
        monkeypatch.setattr(sys, "argv", ["run_pipeline.py", "doctor", *options])
        with pytest.raises(SystemExit) as caught:
            main.main()
        return caught.value.code or 0, *capsys.readouterr()

    return call


def test_all_well_ends_with_0_and_says_so(doctor):
    code, out, err = doctor(WELL)
    assert (code, err) == (0, "")
    assert out == "ok    disk          12.0 GB free\n\nNothing stands in the way of a run.\n"


def test_a_warning_has_its_remedy_below_and_ends_with_0(doctor):
    code, out, err = doctor(WELL, WARNING)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "warn  memory        [1] GB of 2 GB available",
        f"      {LONG}",
        "",
        "Nothing stands in the way of a run; worth a look: memory.",
    ]


def test_failures_end_with_1_and_one_line_that_names_them(doctor):
    code, out, err = doctor(FAILURE, WELL, FAILURE, Finding("disk", "fail", "full", "empty it"))
    assert code == 1
    assert out.splitlines()[:2] == [
        "fail  lock          does not work in /x",
        "      name another folder",
    ]
    assert "Nothing stands" not in out
    assert err == "error  2 checks failed: lock, disk; do what stands below each\n"


def test_json_is_all_that_goes_to_standard_output(doctor):
    code, out, err = doctor(WELL, FAILURE, options=["--json"])
    assert code == 1
    assert json.loads(out) == {
        "findings": [
            {"name": "disk", "level": "ok", "found": "12.0 GB free", "remedy": ""},
            {
                "name": "lock",
                "level": "fail",
                "found": "does not work in /x",
                "remedy": "name another folder",
            },
        ],
        "failed": ["lock"],
    }
    assert err.startswith("error  1 check failed: lock; ")


@pytest.mark.parametrize("color", [True, False])
def test_on_a_narrow_terminal_no_line_is_broken_and_remedies_can_be_copied(color):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "40", "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    if not color:
        environment["NO_COLOR"] = "1"
    with subprocess.Popen(
        [sys.executable, "-c", SHOWS], cwd=ROOT, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    text = shown.decode()
    assert process.returncode == 1
    assert ("\x1b[31m" in text) == color
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
        text = text.replace(code, "")
    assert [line.rstrip() for line in text.splitlines()[:3]] == [
        "ok    disk          12.0 GB free",
        "warn  memory        [1] GB of 2 GB available",
        f"      {LONG}",
    ]


def _read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""


def test_without_tensorflow_it_says_so_and_how_to_have_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    place = tmp_path / "artifacts"
    done = subprocess.run(
        [sys.executable, "run_pipeline.py", "doctor", "--json", "--artifacts", str(place)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    failed = [finding for finding in found["findings"] if finding["level"] == "fail"]
    assert {finding["name"] for finding in failed} == {"imports"}
    said = {finding["found"].partition(": ")[0] for finding in failed}
    assert {"tensorflow does not load", "keras does not load"} <= said
    assert all(finding["remedy"].endswith("install -r requirements.txt") for finding in failed)
    assert found["findings"][-1]["name"] == "self-test"
    assert found["findings"][-1]["found"].startswith("left out: ")
    assert not place.exists()


@pytest.mark.long  # the parts of it: test_self_test.py
def test_on_this_machine_a_whole_run_of_made_up_images_passes(tmp_path):
    (tmp_path / "tmp").mkdir()
    place = tmp_path / "artifacts"
    done = subprocess.run(
        [sys.executable, "run_pipeline.py", "doctor", "--artifacts", str(place)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "warn "))]
    names = [line.split(maxsplit=1)[1].partition("  ")[0] for line in lines]
    assert names[:3] == ["Python", "libraries", "imports"]
    assert names[-3:] == ["disk", "file system", "self-test"]
    assert "2 formats hold their gates on 100 test images, in " in lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    left = {path.name for path in (tmp_path / "tmp").iterdir()}
    assert left <= {".ses"}  # which onnxruntime leaves whenever it is imported


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({}, "error  typer is not installed; run it as .venv/bin/python run_pipeline.py, or "),
        (
            {"typer.py": "raise ImportError('bad file', name='typer')"},
            "error  typer is broken (bad",
        ),
    ],
)
def test_where_the_program_cannot_start_one_line_says_what_to_install(tmp_path, site, words):
    for name, text in site.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "run_pipeline.py"), "doctor"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(words)
    assert line.endswith(f" -r {shlex.quote(str(ROOT / 'requirements.txt'))}")
