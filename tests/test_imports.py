"""What answers at once stays light, and imports point in one direction."""

import ast
import subprocess
import sys

import pytest

from export.formats.format import exporter, formats
from pipeline.core import plugins
from pipeline.core.plugins import ROOT

HEAVY = {
    "ai_edge_litert",
    "flatbuffers",
    "grpc",
    "h5py",
    "jinja2",
    "keras",
    "keras_tuner",
    "litert_quantizer",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "PIL",
    "scipy",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
    "tflite_micro",
}

# From the ground up: each imports of its own and of those before its line, and no others.
FLOORS = (
    ("pipeline.core",),
    ("pipeline.config", "pipeline.store"),
    ("pipeline.data", "pipeline.models"),
    ("export",),
    ("pipeline.evaluation", "pipeline.inference", "pipeline.training", "pipeline.workflow"),
    ("pipeline.doctor", "pipeline.maintenance", "pipeline.tuning"),
    ("pipeline.remote", "pipeline.stages"),
    ("pipeline.cli",),
)
FLOOR = {unit: number for number, floor in enumerate(FLOORS) for unit in floor}


def imported_by(*arguments):
    """The top-level packages that a fresh interpreter imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "pipeline" in packages
    return packages


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["status"], ["run", "--dry-run"], ["runs"]]
)
def test_what_runs_nothing_imports_no_heavy_library(arguments, tmp_path):
    place = [] if "--help" in arguments else ["--artifacts", str(tmp_path / "artifacts")]
    assert not imported_by("run_pipeline.py", *arguments, *place) & HEAVY


def test_the_first_help_page_imports_neither_the_config_nor_what_tables_are_drawn_with():
    assert not imported_by("run_pipeline.py", "--help") & (HEAVY | {"pydantic", "rich", "yaml"})


def test_plug_ins_import_nothing_heavy_until_they_work():
    names = [f"{p}.{n}" for p in (plugins.SOURCES, plugins.MODELS) for n in plugins.names(p)]
    names += {exporter(name).__name__ for name in formats()}
    assert len(names) > 5
    assert not imported_by("-c", f"import {', '.join(names)}") & HEAVY


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit_of(module):
    """The folder of FLOORS that it lies in."""
    parts = module.split(".")
    return "export" if parts[0] == "export" else ".".join(parts[:2])


def modules_of(path):
    """What a file imports of this project."""
    return {name for name in imports_of(path) if name.partition(".")[0] in ("pipeline", "export")}


OURS = [path for top in ("pipeline", "export") for path in sorted((ROOT / top).rglob("*.py"))]


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_lead_down_from_floor_to_floor(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if name == "pipeline":
        assert modules_of(path) == set()
        return
    here = unit_of(name)
    allowed = {here, *(unit for floor in FLOORS[: FLOOR[here]] for unit in floor)}
    assert {unit_of(module) for module in modules_of(path)} <= allowed


def test_text_is_read_and_written_in_an_encoding_that_no_system_chooses():
    """Windows would take its own code page."""
    assert [f"{path}:{line}" for path in OURS for line in without_encoding(path)] == []
    rule = ("--preview", "--select", "PLW1514")  # of open(), and of what has a known type
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", *rule, "pipeline", "export"]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def without_encoding(path):
    places = {"read_text": 0, "write_text": 1}
    for call in ast.walk(ast.parse(path.read_bytes())):
        name = call.func.attr if isinstance(call, ast.Call) and hasattr(call.func, "attr") else ""
        if name in places and ast.unparse(call.func.value) != "distribution":
            said = [*call.args[places[name] :], *(k for k in call.keywords if k.arg == "encoding")]
            if not said:
                yield call.lineno
