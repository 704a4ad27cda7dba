"""Several devices train as one would."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pipeline.config import TrainSection
from pipeline.errors import ConfigError
from pipeline.plugins import ROOT
from pipeline.training.strategy import Devices, choose_devices

ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_training(what, folder):
    command = [sys.executable, "-m", "tests.training.distributed_training", what, str(folder)]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def values(history, name):
    return [float(row[name]) for row in history]


def test_two_devices_take_the_steps_of_one_from_where_it_was_killed(tmp_path):
    """With dropout, batch norm, weight average, class weights, and a batch of one image."""
    found = run_training("mirrored", tmp_path)
    alone, shared = found["histories"]
    assert found["words"] == "mirrored on 2 CPU devices"
    assert found["shared_steps"] == 100
    assert len(alone) == len(shared) == 26
    assert values(shared, "loss")[-1] < 0.9 * values(shared, "loss")[0]
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose(values(shared, name), values(alone, name), atol=1e-4)
    assert found["difference"] < 1e-3


@pytest.mark.parametrize("strategy", ["auto", "none"])
def test_one_device_trains_alone(strategy):
    devices = choose_devices(TrainSection(strategy=strategy))
    assert (devices.strategy, devices.words, devices.lines) == (None, "none", ())


def test_mirrored_on_one_device_is_refused():
    with pytest.raises(
        ConfigError, match=r"^train.strategy is mirrored, but .* one device .*CPU:0"
    ):
        choose_devices(TrainSection(strategy="mirrored"))


def test_xla_is_not_chosen_where_devices_train_together(make_config):
    config = make_config(jit_compile="auto")
    assert Devices("mirrored on 2 GPUs", strategy=object()).allow(config).train.jit_compile is False
    assert Devices().allow(config) is config


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker"])
def test_what_needs_one_device_is_refused_on_several(strategy):
    with pytest.raises(ValueError, match=f"jit_compile: true needs one .* in place of {strategy}"):
        TrainSection(strategy=strategy, jit_compile=True)
