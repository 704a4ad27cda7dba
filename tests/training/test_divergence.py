"""When a training is ended, what is said of it, and what is kept."""

import math
import pickle

import keras
import numpy as np
import pytest

from pipeline.config.schema import TrainSection
from pipeline.core.errors import DivergedError
from pipeline.training.callbacks import KeepBest
from pipeline.training.divergence import StopOnDivergence, with_last_good

GOOD = {"loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9}
GUESSING = math.log(3)


def network(dtype="float32", l2=None):
    penalty = l2 and keras.regularizers.L2(l2)
    dense = keras.layers.Dense(3, activation="softmax", dtype=dtype, kernel_regularizer=penalty)
    return keras.Sequential([keras.Input((4,)), dense])


@pytest.fixture
def watch():
    def make(dtype="float32", epochs=3, l2=None):
        stop = StopOnDivergence(TrainSection(learning_rate=0.5))
        stop.set_model(network(dtype, l2))
        stop.model.set_weights([np.full((4, 3), 2.0), np.zeros(3)])  # 12 squares: 48 times l2
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


def test_penalties_on_weights_are_no_divergence(watch):
    watch(l2=10).on_epoch_end(2, {**GOOD, "loss": 480 + 9.9 * GUESSING})
    with pytest.raises(DivergedError, match=r"the loss reached 491, where guessing has 481, in"):
        watch(l2=10).on_epoch_end(2, {**GOOD, "loss": 480 + 10.1 * GUESSING})


def test_a_penalty_that_shrinks_within_its_one_epoch_ends_no_training():
    model, images = network(l2=10), np.ones((64, 4), np.float32)
    model.set_weights([np.full((4, 3), 2.0), np.zeros(3)])
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    stop, labels = StopOnDivergence(TrainSection(learning_rate=0.01)), np.zeros(64)
    history = model.fit(
        images, labels, 8, validation_data=(images, labels), callbacks=[stop], verbose=0
    ).history
    assert history["loss"][0] > 100
    assert history["val_loss"][0] < 30


def test_a_penalty_that_grows_away_is_divergence(watch):
    stop = watch(l2=10)
    stop.model.set_weights([np.full((4, 3), 4.0), np.zeros(3)])
    with pytest.raises(DivergedError, match=r"the loss reached 1\.92e\+03, where guessing has 481"):
        stop.on_epoch_end(2, {**GOOD, "loss": 1920 + GUESSING})


def test_an_epoch_that_goes_on_after_a_kill_has_the_penalty_it_began_with(watch):
    before, after = watch(l2=10), watch()
    after.restore(before.state())
    after.on_epoch_begin(1)
    after.on_epoch_end(2, {**GOOD, "loss": 480 + 9.9 * GUESSING})
    after.on_epoch_begin(2)
    with pytest.raises(DivergedError):
        after.on_epoch_end(2, {**GOOD, "loss": 480 + 9.9 * GUESSING})


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
    error = with_last_good(DivergedError("train: bad"), network(), best, tmp_path)
    path = tmp_path / "before-divergence.keras"
    assert str(error) == (
        f"train: bad; the weights of epoch 5 (validation accuracy 90.00%) are kept in {path}"
    )
    assert pickle.loads(pickle.dumps(error)).kept == path  # from a worker of a job
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    kept = keras.saving.load_model(path).get_weights()
    for given, expected in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(given, expected)


def test_where_no_epoch_ended_well_nothing_is_kept(tmp_path):
    bad = DivergedError("train: bad")
    error = with_last_good(bad, network(), KeepBest("val_loss"), tmp_path)
    assert (str(error), error.kept) == ("train: bad; no epoch had ended well", None)
    assert not list(tmp_path.iterdir())
