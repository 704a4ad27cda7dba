"""A training that is killed and goes on comes out the same, to the last bit."""

import random
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.core.errors import StageError
from pipeline.training import resume as resuming
from pipeline.training.callbacks import AverageWeights, KeepBest, StopEarly
from pipeline.training.checkpoint import Checkpoint, CheckpointFile, State
from pipeline.training.resume import Resume, describe
from tests.training import resumed_training as training


class KilledError(BaseException):
    """Ends a training as a kill does: nothing catches it."""


class Kill(keras.callbacks.Callback):
    """Ends training at the beginning of an epoch, within it, or when it has finished."""

    def __init__(self, when, epoch, step):
        super().__init__()
        self._moment = when, epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._reach("begin", 0)

    def on_train_batch_end(self, batch, logs=None):
        self._reach("step", batch + 1)

    def on_train_end(self, logs=None):
        self._reach("finish", 0)

    def _reach(self, when, step):
        if self._moment == (when, self._epoch, step):
            raise KilledError


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ingest")
    training.write_images(folder)
    return folder


def test_killed_at_every_turn_it_ends_the_same(ingest, tmp_path):
    splits, config = training.open_images(ingest, "memory"), training.make_config()
    unbroken = training.train(config, splits, tmp_path / "unbroken")
    assert len(unbroken.history) == training.TRAINED < training.EPOCHS
    folder, began = tmp_path / "killed", []
    for kill in [("step", 1, 6), ("begin", 2, 0), ("finish", 2, 0)]:
        with pytest.raises(KilledError):
            training.train(config, splits, folder, Kill(*kill), began=began)
    resumed = training.train(config, splits, folder, began=began)
    assert began == [(0, 0), (1, 4), (2, 0), (training.EPOCHS, 0)]
    training.assert_same(resumed, unbroken)


def resume_at(epoch, step, machine="a Xeon with 2 threads"):
    moment = datetime(2026, 11, 22, 14, 2)
    checkpoint = Checkpoint("this", "a Xeon with 2 threads", epoch, step, {}, moment)
    return Resume(CheckpointFile(Path("scratch")), "this", machine, checkpoint)


@pytest.mark.parametrize(
    ("resume", "is_deterministic", "words"),
    [
        (resume_at(6, 0), True, "goes on from epoch 7 (checkpoint of 14:02)"),
        (resume_at(6, 20), True, "goes on from step 21 of epoch 7 (checkpoint of 14:02)"),
        (resume_at(8, 0), True, "training had come to its end (checkpoint of 14:02)"),
        (
            resume_at(6, 0),
            False,
            "goes on from epoch 7 (checkpoint of 14:02); not bit for bit: "
            "train.deterministic is false",
        ),
        (
            resume_at(6, 0, "a Xeon with 4 threads"),
            True,
            "goes on from epoch 7 (checkpoint of 14:02); not bit for bit: saved on a Xeon with 2 "
            "threads, this is a Xeon with 4 threads",
        ),
    ],
)
def test_it_is_said_where_training_goes_on_and_whether_to_the_same_bits(
    resume, is_deterministic, words
):
    assert describe(resume, is_deterministic, epochs=8) == words


def test_nothing_is_said_of_a_training_that_begins():
    assert describe(Resume(CheckpointFile(Path("scratch")), "", ""), True, epochs=8) is None


def test_generators_of_python_and_numpy_go_on_where_they_were():
    before = resuming.generators()
    drawn = random.random(), np.random.random()
    assert (random.random(), np.random.random()) != drawn
    resuming.restore_generators(before)
    assert (random.random(), np.random.random()) == drawn


def test_state_that_does_not_fit_is_refused_and_nothing_is_assigned(tmp_path):
    variables = [keras.Variable(np.zeros(2)), keras.Variable(np.zeros(3))]
    arrays = [np.ones(2, np.float32), np.ones(4, np.float32)]
    with pytest.raises(StageError, match=r"^train: .*checkpoint\.npz does not fit .* delete it"):
        resuming.assign(variables, State(arrays=arrays), Resume(CheckpointFile(tmp_path), "", ""))
    assert variables[0].numpy().tolist() == [0, 0]


@pytest.mark.parametrize("callback", [KeepBest("val_loss"), StopEarly(), AverageWeights()])
def test_what_the_config_adds_to_a_training_is_resumable(callback):
    assert isinstance(callback, resuming.Resumable)
