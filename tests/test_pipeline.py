"""The whole pipeline, really run: configs/smoke.yaml through run_pipeline.py."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from pipeline.core.plugins import ROOT
from pipeline.workflow import graph
from tests.command_line import call_here

VERIFY_OTHERWISE = ("verify.timed_runs=3", "verify.warmup_runs=0")
HEAVY = {"tensorflow", "numpy", "keras", "matplotlib", "sklearn"}
ELSEWHERE = {"filelock", "rich.progress", "pipeline.cli.predict", "pipeline.maintenance"}
"""What other commands need, and runs that make something."""


@dataclass(frozen=True)
class Call:
    """A call of run_pipeline.py on the smoke config that ended well.

    Attributes:
        out: what it printed.
        imported: the modules that its process imported.
        ran: the stages that ran, in order.
    """

    out: str
    imported: set[str]

    @property
    def ran(self):
        return [
            word
            for line in self.out.splitlines()
            for word in line.split()[:1]
            if word in graph.NAMES
        ]


def call(artifacts, *arguments):
    command = ["run", "-c", "configs/smoke.yaml", "--artifacts", str(artifacts), *arguments]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "run_pipeline.py", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    names = re.findall(r"^import time: .*\| +([\w.]+)$", done.stderr, re.MULTILINE)
    return Call(done.stdout, set(names))


@pytest.fixture
def artifacts(smoke_run, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(smoke_run, tmp_path / "artifacts", symlinks=True)


def only(smoke_run, stage):
    (path,) = (smoke_run / stage).iterdir()
    return path


@pytest.mark.parametrize("stage", graph.NAMES)
def test_each_stage_made_one_artifact_and_its_files_are_those_of_the_manifest(smoke_run, stage):
    folder = only(smoke_run, stage)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["stage"], manifest["key"]) == (stage, folder.name)
    assert manifest["summary"]
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    del files["manifest.json"]
    assert manifest["files"] == {
        name: {
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for name, path in files.items()
    }


def test_nothing_half_made_is_left_behind(smoke_run):
    assert [list((smoke_run / name).iterdir()) for name in (".staging", ".scratch")] == [[], []]
    assert not (smoke_run / ".quarantine").exists()


def test_the_run_links_to_every_artifact(smoke_run):
    (run,) = (smoke_run / "runs").iterdir()
    assert {path.name: path.resolve() for path in run.iterdir() if path.is_symlink()} == {
        stage: only(smoke_run, stage).resolve() for stage in graph.NAMES
    }


def test_the_artifacts_can_be_moved_with_their_runs(artifacts):
    (run,) = (artifacts / "runs").iterdir()
    assert (run / "verify").resolve() == only(artifacts, "verify").resolve()


def test_a_second_run_does_nothing_and_imports_nothing_heavy(artifacts):
    again = call(artifacts)
    assert again.ran == []
    assert not again.imported & (HEAVY | ELSEWHERE)
    assert "tflite_int8" in again.out
    assert len(list((artifacts / "runs").iterdir())) == 2


def test_only_verify_runs_again_when_only_verify_is_told_otherwise(smoke_run):
    lines = call(smoke_run, "--dry-run", *VERIFY_OTHERWISE).out.splitlines()
    reasons = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:]}
    assert reasons.pop("verify") == "runs verify.warmup_runs 20 → 0, verify.timed_runs 200 → 3"
    assert reasons == dict.fromkeys(graph.NAMES[:-1], "up to date nothing changed")


def test_damaged_images_are_set_aside_and_read_again_the_same(artifacts):
    shard = next(only(artifacts, "ingest").glob("test-*.tfrecord"))
    intact = shard.read_bytes()
    shard.write_bytes(intact[:-100] + b"x" + intact[-99:])
    command = ["run", "-c", ROOT / "configs" / "smoke.yaml", "--artifacts", artifacts]
    done = call_here(*command, "--to", "evaluate", "evaluate.worst_mistakes=5")
    assert done.returncode == 0, done.stderr
    again = Call(done.stdout, imported=set())
    assert again.ran == ["ingest", "evaluate"]
    assert f"{shard} is not the file that was published; moved to " in again.out
    assert shard.read_bytes() == intact


def test_the_report_needs_no_network(smoke_run):
    html = (only(smoke_run, "evaluate") / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", html)
    assert not re.search(r"url\(\s*[\"']?\s*(https?:)?//|@import", html)
    assert "<script src" not in html
    assert "data:image/png;base64," in html


def test_every_format_passed_its_gate(smoke_run):
    verdict = json.loads((only(smoke_run, "verify") / "verdict.json").read_text())
    exported = {path.name for path in only(smoke_run, "export").iterdir()}
    assert len(verdict["formats"]) == 7
    for check in verdict["formats"]:
        assert check["passed"] is True
        assert check["file"] in exported


@pytest.mark.tflite_micro
def test_the_int8_file_answers_in_tflite_micro_as_in_litert(smoke_run):
    verdict = json.loads((only(smoke_run, "verify") / "verdict.json").read_text())
    micro = next(row["micro"] for row in verdict["formats"] if row["name"] == "tflite_int8")
    assert (micro["refusal"], micro["images"], micro["different"]) == ("", 500, 0)
    assert micro["arena_bytes"] > 1000
