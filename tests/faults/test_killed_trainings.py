"""SIGKILL of real processes that train from shards."""

import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pipeline.core.plugins import ROOT
from tests.training import resumed_training as training

SEED, KILLS = 0, 12


@pytest.mark.long  # tests/training/test_resume.py breaks off at every turn, in one process
@pytest.mark.parametrize("place", ["shards", "memory"])
def test_killed_at_random_instants_it_ends_the_same(tmp_path, record_property, place):
    ingest = tmp_path / "ingest"
    ingest.mkdir()
    training.write_images(ingest)
    command = ["tests.faults.kill_trainings", ingest, tmp_path, place, KILLS, SEED]
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    began = [line for line in done.stdout.splitlines() if line.startswith("began")]
    fired = done.stdout.count("ended by signal 9")
    assert fired, done.stdout + done.stderr
    assert began[0] == "began (0, 0)" != began[-1], done.stdout + done.stderr
    unbroken, resumed = (
        SimpleNamespace(**pickle.loads((tmp_path / f"{name}.pickle").read_bytes()))
        for name in ("unbroken", "killed")
    )
    assert len(unbroken.history) == training.TRAINED
    training.assert_same(resumed, unbroken)
    record_property(f"SIGKILL of a real training from {place}", fired)
