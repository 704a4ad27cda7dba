"""No line that the program prints is broken, at any width: it may hold a path or a command."""

import ast
import importlib
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.markup import escape

from export.formats.recommendation import Candidate, Recommendation
from export.formats.verdict import Check, FormatVerdict, Verdict
from export.verification.golden_replay import Replay
from pipeline.cli import check_data, doctor, gc, main, predict, remote, run, status, tables
from pipeline.cli import maintenance_tables as keeping_tables
from pipeline.core import progress
from pipeline.core.plugins import ROOT
from pipeline.core.terminal import create_console, print_table
from pipeline.doctor.finding import Finding
from pipeline.maintenance.find_garbage import Garbage, Piece
from pipeline.maintenance.find_garbage import Kind as Waste
from pipeline.maintenance.integrity import Findings, Kind, Problem
from pipeline.remote.transfer import Outcome as Copied
from pipeline.workflow import graph
from pipeline.workflow.plan import Step
from pipeline.workflow.runs import Run
from tests.command_line import console_of

LONG = "/".join(["", *["a folder of Jörg's [dim] :one: it-is-long"] * 5, "file.png"])
KEY = "0123456789abcdef"
WIDTHS = [20, 40, 80, 120, None]
ROW = FormatVerdict(
    "onnx", LONG, (Check("runs", None, None, False, LONG),), 314_000, "r", 0.9, 0.1, 1.0, 0, 0.0
)
PROBLEM = Problem(Kind.DAMAGED, "train", KEY, f"{LONG} is missing")
PIECE = Piece(Waste.UNUSED, Path("train", KEY), 1, "train", KEY, LONG, "2026-01-01T12:00:00+00:00")
RUN = Run(
    Path(LONG),
    {
        "seconds": 1.0,
        "config": {"data": {"source": "csv", "file": LONG}},
        "stages": [{"stage": "train", "key": KEY, "reason": "x", "summary": f"took {LONG}"}],
    },
)
STEP = Step(graph.STAGES[0], {}, KEY, None, f"damaged: {LONG} is missing")
WATCHER = SimpleNamespace(stage=graph.STAGES[0], reason=LONG, manifest={"summary": LONG})
EXAMINATION = SimpleNamespace(
    findings=[SimpleNamespace(level="warn", check="x", message=LONG, examples=1, groups=[LONG])],
    material=SimpleNamespace(
        prepared=SimpleNamespace(splits=dict.fromkeys(("train", "validation", "test"), ()))
    ),
)
PREDICTION = SimpleNamespace(
    file=LONG, label=LONG, probability=0.5, top=[(LONG, 0.5), (LONG, 0.5)], polarity="as it is"
)
SHOWN = {
    "plan": lambda c: tables.show_plan(c, [STEP]),
    "runs": lambda c: tables.show_runs(c, [RUN]),
    "stages": lambda c: tables.show_stages(c, RUN),
    "formats": lambda c: tables.show_formats(c, Verdict(10, 0.9, 1, 2, 3, (ROW,))),
    "findings": lambda c: tables.show_findings(c, EXAMINATION),
    "recommendation": lambda c: tables.show_recommendation(
        c, Recommendation((Candidate(ROW, LONG),), "onnx", LONG, False), RUN
    ),
    "predictions": lambda c: tables.show_predictions(c, [PREDICTION]),
    "replay": lambda c: tables.show_replay(c, Replay(2, (LONG,), 1.0, 0.1, "r", "r")),
    "garbage": lambda c: keeping_tables.show_garbage(c, Garbage((PIECE,), (PIECE,), {LONG: 1})),
    "check": lambda c: keeping_tables.show_findings(
        c, Findings((PROBLEM,), (), (LONG,), {}, 1, 1, 1)
    ),
    "a log": lambda c: progress.LogProgress(c).line(LONG),
    "beside a bar": lambda c: progress.TerminalProgress(c).line(LONG),
    "began": lambda c: run.watcher().started(WATCHER),
    "ended": lambda c: run.watcher().finished(WATCHER, WATCHER, 1.0),
    "warned": lambda c: run.watcher().warned(LONG),
    "doctor": lambda c: doctor._show(Finding("disk", "warn", LONG, f"rm '{LONG}'")),
    "shared": lambda c: remote._show(Copied(), "Pushed", "to", LONG),
    "address": lambda c: predict._say_where(LONG),
}


@pytest.fixture(params=WIDTHS)
def console(request, monkeypatch):
    console = console_of(request.param or create_console().width)
    for module in (check_data, doctor, gc, status, run, remote, predict):
        monkeypatch.setattr(module, "console", console)
    return console


@pytest.mark.parametrize("what", SHOWN)
def test_a_long_path_and_a_key_stay_whole_at_any_width(console, what):
    SHOWN[what](console)
    shown = console.file.getvalue()
    assert LONG in shown
    assert not any(line != line.rstrip() for line in shown.splitlines())
    if what in ("stages", "garbage", "check", "outcome"):
        assert KEY in shown


def test_a_table_has_a_row_a_line_and_its_columns_under_their_names(console):
    rows = [("1", escape(LONG), "[dim]x[/]"), ("20", "b", "")]
    print_table(console, ("n", "file", "why"), rows, right=(0,))
    assert console.file.getvalue().splitlines() == [
        f" n  {'file':<{len(LONG)}}  why",
        f" 1  {LONG}  x",
        "20  b",
    ]


def test_wide_letters_count_as_two_columns(console):
    print_table(console, ("a", "b"), [("文", "x"), ("abc", "y")])
    assert console.file.getvalue().splitlines() == ["a    b", "文   x", "abc  y"]


def test_only_one_module_makes_consoles_and_none_takes_tables_from_rich():
    files = [ROOT / "run_pipeline.py", *(ROOT / "pipeline").rglob("*.py")]
    files += [f for f in (ROOT / "export").rglob("*.py") if "runtimes" not in f.parts]
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Console"):
                found.add((path.name, "Console"))
            if isinstance(node, ast.ImportFrom) and node.module == "rich.table":
                found.add((path.name, "Table"))
    assert found == {("terminal.py", "Console")}


@pytest.mark.parametrize("columns", ["20", "60"])
def test_on_a_narrow_terminal_errors_and_plans_are_whole_lines(columns, tmp_path):
    config = tmp_path / ("it's long " * 12) / "config.yaml"
    shown = on_a_terminal(columns, "run", "-c", str(config))
    assert shown == f"error  {config}: no such config file. Check the path.\r\n"
    artifacts = tmp_path / ("it's long " * 12)
    shown = on_a_terminal(columns, "status", "--artifacts", str(artifacts))
    assert shown.splitlines()[0] == f"{ROOT / 'configs' / 'mnist.yaml'} in {artifacts}"
    assert shown.splitlines()[2].split() == ["ingest", "runs", "not", "made", "yet"]


def on_a_terminal(columns, *arguments):
    """What a call of the program shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": columns, "TERM": "xterm", "NO_COLOR": "1"}
    code = f"import sys; sys.argv = {['run_pipeline.py', *arguments]!r}\n"
    code += "from pipeline.cli import main; main.main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    plain = shown.decode()
    for style in ("\x1b[0m", "\x1b[1m", "\x1b[2m"):
        plain = plain.replace(style, "")
    return plain


def _read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("columns", [20, 40, 50, 80, 200])
@pytest.mark.parametrize("command", ["", *main.COMMANDS])
def test_a_help_page_breaks_no_word_and_cuts_no_summary(command, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["run_pipeline.py", *filter(None, [command]), "--help"])
    with pytest.raises(SystemExit):
        main.main()
    page = capsys.readouterr().out
    words = page.split()
    assert page.startswith("Usage: run_pipeline.py")
    if command:
        assert " ".join(documented(command).split()) in " ".join(words)
    else:
        assert "    python run_pipeline.py -c configs/photos.yaml data.folder=my_photos\n" in page
        for each in main.COMMANDS:
            assert documented(each).splitlines()[0] in " ".join(words)


def documented(command):
    """The docstring of a command's function."""
    module, name = main.COMMANDS[command].function.split(":")
    return getattr(importlib.import_module(f"pipeline.cli.{module}"), name).__doc__


def test_the_line_of_a_command_is_the_first_of_its_docstring():
    lines = {name: documented(name).splitlines()[0] for name in main.COMMANDS}
    assert {name: command.help for name, command in main.COMMANDS.items()} == lines
