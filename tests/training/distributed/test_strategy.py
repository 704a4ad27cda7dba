"""Several devices train as one would."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from pipeline.config.schema import TrainSection
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.training.distributed.strategy import Devices, choose_devices

EPOCHS = 3
# Keras imports these where it can, for what no training uses: 2 of its 7 seconds.
BEGIN = """import sys
sys.modules.update(sklearn=None, matplotlib=None)
from tests.training.distributed_training import main
main()"""
ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def start(what, folder, epochs=EPOCHS, **environment):
    command = [sys.executable, "-c", BEGIN, what, str(folder), str(epochs)]
    with (folder / f"{what}-{environment.get('NUMBER', 0)}.log").open("w") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def start_job(count, folder, **environment):
    """Workers of a job on this machine."""
    ports = [free_port() for _ in range(count)]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    configs = [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(count)
    ]
    return [
        start("joined", folder, TF_CONFIG=text, NUMBER=str(index), **environment)
        for index, text in enumerate(configs)
    ]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(process):
    said, _ = process.communicate()
    return json.loads(said) if said else {"ended": process.returncode}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("strategy")


@pytest.fixture(scope="module")
def mirrored(folder):
    return answer(start("mirrored", folder))


def values(history, name):
    return [float(row[name]) for row in history]


def check_steps_of_one(told, epochs):
    """With dropout, batch norm, weight average, class weights, and a batch of one image."""
    alone, shared = told["histories"]
    assert told["words"] == "mirrored on 2 CPU devices"
    assert told["shared_steps"] == 4 * (epochs - 1)
    assert len(alone) == len(shared) == epochs
    assert values(shared, "loss")[-1] < 0.9 * values(shared, "loss")[0]
    for name in ("loss", "val_loss", "accuracy", "val_accuracy"):
        np.testing.assert_allclose(values(shared, name), values(alone, name), atol=1e-4)
    assert told["difference"] < 1e-5


def test_two_devices_take_the_steps_of_one_from_where_it_was_killed(mirrored):
    check_steps_of_one(mirrored, EPOCHS)


@pytest.mark.long
def test_a_hundred_steps_of_two_devices_are_those_of_one(tmp_path):
    check_steps_of_one(answer(start("mirrored", tmp_path, epochs=26)), 26)


def test_in_half_precision_two_devices_pass_over_a_step_as_one_where_a_part_overflows(mirrored):
    shared, alone = mirrored["half"]
    np.testing.assert_allclose(shared["losses"], alone["losses"], atol=1e-3)
    assert alone["losses"][1] < alone["losses"][0]
    for trained in (shared, alone):
        assert (trained["moved"], trained["scale"]) == (0, 2**14)


def test_two_workers_come_to_the_weights_of_one(mirrored, folder):
    for worker in map(answer, start_job(2, folder, JOB="job of two")):
        assert worker["words"] == "multi_worker on 2 workers"
        assert worker["began"] == [0, 0]
        assert worker["difference"] < 1e-5


@pytest.mark.long
def test_a_lost_worker_ends_the_job_and_fewer_workers_go_on_to_the_weights_of_one(mirrored, folder):
    first, second, third = map(answer, start_job(3, folder, JOB="job of three", KILL="yes"))
    assert second == {"ended": 9}
    for survivor in (first, third):
        assert "lost" in survivor or survivor["ended"] not in (0, 1)
    for worker in map(answer, start_job(2, folder, JOB="job of three")):
        assert worker["began"] == [1, 0]
        assert worker["difference"] < 1e-5


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
