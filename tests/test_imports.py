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


@pytest.mark.parametrize("path", sorted((ROOT / "export").rglob("*.py")), ids=lambda p: p.stem)
def test_exporters_do_not_import_stages(path):
    wrong = [name for name in imports_of(path) if name.startswith("pipeline.workflow.stage")]
    assert wrong == []


def test_text_is_read_and_written_in_an_encoding_that_no_system_chooses():
    """Windows would take its own code page."""
    ours = [path for top in ("pipeline", "export") for path in sorted((ROOT / top).rglob("*.py"))]
    assert [f"{path}:{line}" for path in ours for line in without_encoding(path)] == []
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


CORE = sorted((ROOT / "pipeline").glob("*.py"))


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.stem)
def test_the_core_imports_stages_only_for_what_they_take_and_give(path):
    allowed = {"pipeline.workflow.stage.StageContext", "pipeline.workflow.stage.StageResult"}
    stages = {name for name in imports_of(path) if name.startswith("pipeline.workflow.stage")}
    assert stages <= allowed
