"""The self-test: its material, what it says of a failure, and that nothing of it is left."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.config.loading import load_config
from pipeline.core.plugins import ROOT
from pipeline.data.sources import idx
from pipeline.doctor import self_test
from pipeline.doctor.children import Ended
from tests.children_here import children_here
from tests.command_line import call_here

INTERRUPTED = """
import sys
from contextlib import nullcontext
from pipeline.doctor.self_test import examine_pipeline
from pipeline.core.signals import Interrupted, interruptible

class Silent:
    def task(self, description, total):
        return nullcontext(self)
    def advance(self, steps=1, note=""):
        print(note, flush=True)

try:
    with interruptible():
        print(*examine_pipeline(Silent()))
except Interrupted:
    sys.exit(130)
"""


class Told:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.steps, self.notes = 0, []

    @contextmanager
    def task(self, description, total):
        assert (description, total) == ("self-test", 6)
        yield self

    def advance(self, steps=1, note=""):
        self.steps += steps
        self.notes.append(note)


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """Has the child of the self-test end so; it may publish an artifact of each named stage."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def end(ended, *stages):
        def run(command, *, timeout_seconds, environment, while_waiting):
            artifacts = Path(command[command.index("--artifacts") + 1])
            for stage in stages:
                (artifacts / stage / "key").mkdir(parents=True)
                text = json.dumps({"summary": f"{stage} is done"})
                (artifacts / stage / "key" / "manifest.json").write_text(text)
                while_waiting("")
            return ended

        monkeypatch.setattr(self_test.children, "run", run)
        told = Told()
        (finding,) = self_test.examine_pipeline(told)
        assert [*tmp_path.iterdir()] == []
        return finding, told

    return end


def test_the_config_is_valid_and_the_images_are_told_apart_by_their_brightest_quarter(tmp_path):
    loaded = load_config(self_test.make_material(tmp_path))
    assert loaded.export.formats == ("tflite_float32", "onnx")
    data = idx.load(loaded.data)
    assert (len(data.train), len(data.test), len(data.classes)) == (600, 100, 4)
    for images, labels in (
        (data.train.images, data.train.labels),
        (data.test.images, data.test.labels),
    ):
        quarters = images.reshape(len(images), 2, 14, 2, 14).mean(axis=(2, 4)).reshape(-1, 4)
        assert (quarters.argmax(axis=1) == labels).all()


def test_what_it_runs_comes_to_files_that_hold_their_gates(tmp_path):
    config, artifacts = self_test.make_material(tmp_path), tmp_path / "artifacts"
    with children_here():
        done = call_here("run", "-c", config, "--artifacts", artifacts)
    assert done.returncode == 0, done.stderr
    (manifest,) = artifacts.glob("verify/*/manifest.json")
    summary = json.loads(manifest.read_text())["summary"]
    assert summary == "2 formats hold their gates on 100 test images"


def test_the_images_are_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        self_test.make_material(tmp_path / name)
    name = "train-images-idx3-ubyte"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_run_that_verified_its_files_is_well_and_shows_its_stages(ends):
    finding, told = ends(
        Ended(0, "", ""), "ingest", "build", "train", "evaluate", "export", "verify"
    )
    assert finding.level == "ok"
    assert finding.found.startswith("verify is done, in ")
    assert told.steps == 6
    assert told.notes == ["build", "train", "evaluate", "export", "verify", ""]


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(3, "", "error  onnx failed\nWARNING: something else\n"), "onnx failed"),
        (Ended(1, "", "Traceback\nMemoryError\n"), "MemoryError"),
        (Ended(-9, "", "some words\n"), "was killed by SIGKILL"),
        (Ended(-15, "", "", is_late=True), "did not end in time"),
        (Ended(1, "", ""), "ended with exit code 1"),
        (Ended(0, "", ""), "ended without a verdict"),
    ],
)
def test_a_failure_is_told_in_the_child_s_last_words(ends, ended, words):
    finding, _ = ends(ended, "ingest")
    assert finding.level == "fail"
    assert finding.found.startswith("failed after ")
    assert finding.found.endswith(f" s: {words}")
    assert " run -c configs/smoke.yaml; " in finding.remedy


def test_ctrl_c_ends_it_at_once_and_leaves_neither_files_nor_processes(tmp_path, is_gone):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(tmp_path.glob("*/artifacts/.staging/*")):
        assert process.stdout.readline() != "", process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "stopping …\n")
    assert [*tmp_path.iterdir()] == []
    assert is_gone(str(tmp_path))
