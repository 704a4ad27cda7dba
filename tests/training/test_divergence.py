"""When a training is ended, what is said of it, and what is kept."""

import math

import keras
import numpy as np
import pytest

from pipeline.config import TrainSection
from pipeline.training.callbacks import KeepBest
from pipeline.training.divergence import DivergedError, StopOnDivergence, keep_last_good

GOOD = {"loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9}
GUESSING = math.log(3)


def network(dtype="float32"):
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation="softmax", dtype=dtype)]
    return keras.Sequential(layers)


@pytest.fixture
def watch():
    def make(dtype="float32", epochs=3):
        stop = StopOnDivergence(TrainSection(learning_rate=0.5))
        stop.set_model(network(dtype))
        stop.set_params({"epochs": epochs})
        stop.on_epoch_begin(1)
        return stop

    return make


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_training_and_says_what_to_do(watch, loss):
    stop = watch()
    stop.on_train_batch_end(0, GOOD)
    stop.on_epoch_end(0, GOOD)
    advice = "; lower train.learning_rate, now 0.5, to 0.05 or so$"
    with pytest.raises(DivergedError, match=rf"loss became {loss} at step 10 of epoch 2{advice}"):
        stop.on_train_batch_end(9, {"loss": loss})
    with pytest.raises(DivergedError, match=rf"^train: the validation loss became {loss} at the"):
        stop.on_epoch_end(1, {**GOOD, "val_loss": loss})


def test_a_training_in_half_precision_is_pointed_to_float32(watch):
    with pytest.raises(DivergedError, match=r"or so, or train with train\.precision=float32$"):
        watch("mixed_float16").on_train_batch_end(0, {"loss": math.nan})


def test_a_loss_ten_times_that_of_guessing_that_still_rises_ends_training(watch):
    stop = watch()
    stop.on_epoch_end(0, {**GOOD, "loss": 10.5 * GUESSING})  # it may come down
    stop.on_epoch_end(1, {**GOOD, "loss": 10.2 * GUESSING})
    with pytest.raises(DivergedError, match=r"the loss reached 11\.3, where guessing has 1\.1, in"):
        stop.on_epoch_end(1, {**GOOD, "loss": 10.3 * GUESSING})


def test_the_last_epoch_must_have_come_down(watch):
    watch().on_epoch_end(2, {**GOOD, "loss": 9.9 * GUESSING})
    with pytest.raises(DivergedError, match="where guessing has"):
        watch().on_epoch_end(2, {**GOOD, "loss": 10.1 * GUESSING})


def test_what_it_remembers_outlives_a_kill(watch):
    before, after = watch(), watch()
    before.on_epoch_end(0, {**GOOD, "loss": 10.5 * GUESSING})
    after.restore(before.state())
    with pytest.raises(DivergedError):
        after.on_epoch_end(1, {**GOOD, "loss": 10.6 * GUESSING})


def test_the_best_weights_before_are_kept_in_a_file_that_can_be_brought(tmp_path):
    best, model = KeepBest("val_loss"), network()
    best.set_model(model)
    best.on_epoch_end(4, GOOD)
    said = keep_last_good(network(), best, tmp_path)
    path = tmp_path / "before-divergence.keras"
    assert said == (
        f"the weights of epoch 5 (validation accuracy 90.00%) are kept: train.model_file={path} "
        "takes them as they are"
    )
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    kept = keras.saving.load_model(path).get_weights()
    for given, expected in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(given, expected)


def test_where_no_epoch_ended_well_nothing_is_kept(tmp_path):
    assert keep_last_good(network(), KeepBest("val_loss"), tmp_path) == "no epoch had ended well"
    assert not list(tmp_path.iterdir())
