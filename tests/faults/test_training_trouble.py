"""Trainings that diverge, or lack memory: one line, and what was made before stays as it is."""

import re
import resource
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.core.content import sha256
from pipeline.core.os_errors import LEAST_ADDRESS_BYTES
from pipeline.core.plugins import ROOT
from pipeline.training.divergence import StopOnDivergence

SMALL = (
    "tune.enabled=false",
    "data.train_limit=120",
    "data.test_limit=20",
    "model.preset=two_conv",
    "train.epochs=2",
    "train.precision=float32",
)


def typed(artifacts, *more):
    config = ["-c", str(ROOT / "configs" / "smoke.yaml"), "--artifacts", str(artifacts)]
    return ["run_pipeline.py", "run", *config, *SMALL, *more]


@pytest.fixture
def call(monkeypatch, capfd, tmp_path):
    def run(*more):
        monkeypatch.setattr(sys, "argv", typed(tmp_path / "artifacts", *more))
        with pytest.raises(SystemExit) as caught:
            main.main()
        shown = capfd.readouterr()
        return SimpleNamespace(code=caught.value.code or 0, out=shown.out, err=shown.err)

    return run


def fingerprints(folder):
    return {path: sha256(path) for path in folder.glob("[a-z]*/*/*") if path.is_file()}


def poison(self, epoch, logs=None):
    """What a rate that is far too high does to weights, at the start of the second epoch."""
    self._epoch = epoch
    if epoch == 1:
        self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])


def test_a_diverged_training_keeps_weights_that_can_be_brought(call, tmp_path, monkeypatch):
    artifacts = tmp_path / "artifacts"
    assert call("--to", "build").code == 0
    before = fingerprints(artifacts)
    with monkeypatch.context() as patched:
        patched.setattr(StopOnDivergence, "on_epoch_begin", poison)
        ended = call("--to", "train", "train.learning_rate=0.05")
    assert ended.code == 1
    line = ended.err.splitlines()[-1]
    found = re.fullmatch(
        r"error  train: the loss became nan at step \d+ of epoch 2; lower train\.learning_rate, "
        r"now 0\.05, to 0\.005 or so; the weights of epoch 1 \(validation accuracy [\d.]+%\) "
        r"are kept in (\S+); to take them as they are: python run_pipeline\.py export "
        r"--model \1 .*",
        line,
    )
    assert found, line
    assert "Traceback" not in ended.err
    assert fingerprints(artifacts) == before
    brought = call("--to", "train", f"train.model_file={found[1]}")
    assert (brought.code, "took before-divergence.keras" in brought.out) == (0, True), brought.err


def test_too_little_memory_is_refused_before_a_stage_begins(tmp_path):
    limit = LEAST_ADDRESS_BYTES - 1
    ended = subprocess.run(
        [sys.executable, *typed(tmp_path / "artifacts")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert re.fullmatch(r"error  ingest: too little memory: .*`ulimit -v` .*", line)
    assert not (tmp_path / "artifacts").exists()
