"""fit() on a tiny network: what the config asks for is what happens."""

import keras
import numpy as np
import pytest

from pipeline.config.schema import AugmentationSection
from pipeline.core.errors import ConfigError, StageError
from pipeline.data import dataset_json, sharding, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.training.callbacks import KeepBest, ShowProgress
from pipeline.training.divergence import StopOnDivergence
from pipeline.training.fit import Splits, Training, fit, open_splits, steps_at_once
from pipeline.training.precision import Execution

PLAIN = Execution("float32", False, "test")


class Recorder(keras.callbacks.Callback):
    """Keeps the weights after each execution, and each epoch's logs."""

    def __init__(self):
        super().__init__()
        self.weights, self.logs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))


class CountingTask:
    total = 0

    def advance(self, steps=1, note=""):
        self.total += steps


def train(model, config, splits, *callbacks):
    recorder = Recorder()
    fit(model, Training(config, splits, PLAIN), [recorder, *callbacks])
    return recorder


def test_a_network_learns_and_by_the_same_seed_comes_to_the_same_weights(
    tiny_model, make_config, splits
):
    start = tiny_model.get_weights()
    config = make_config(epochs=10, batch_size=20, learning_rate=0.05)
    first = train(tiny_model, config, splits)
    assert first.logs[-1]["loss"] < first.logs[0]["loss"]
    assert first.logs[-1]["val_accuracy"] == 1.0
    tiny_model.set_weights(start)
    again = train(tiny_model, config, splits)
    for one, two in zip(first.weights[-1], again.weights[-1], strict=True):
        np.testing.assert_array_equal(one, two)


def in_shards(folder, splits):
    parts = {"train": splits.train, "validation": splits.validation}
    counts = {name: tuple(np.bincount(part.labels).tolist()) for name, part in parts.items()}
    described = Description((6, 6, 1), tuple("abc"), counts, (), (), "a test", {}, {})
    dataset_json.write(folder, described)
    for name, part in parts.items():
        tfrecords.write_split(folder, name, part)


def test_images_beyond_the_limit_stay_in_their_shards_and_are_learnt_all_the_same(
    tmp_path, tiny_model, make_config, splits, monkeypatch
):
    monkeypatch.setattr(sharding, "SHARD_BYTES", 500)
    in_shards(tmp_path, splits)
    opened, place = open_splits(tmp_path, 0, splits.num_classes)
    assert isinstance(opened.train, tfrecords.Shards)
    assert place == "0.003 MiB of images, read from their shards: train.memory_limit_mib is 0"
    config = make_config(epochs=10, batch_size=20, learning_rate=0.05, class_weights="balanced")
    logs = train(tiny_model, config, opened).logs
    assert len(logs) == 10
    assert logs[-1]["val_accuracy"] == 1.0


def test_a_part_of_each_class_is_held_in_memory_or_refused(tmp_path, splits):
    in_shards(tmp_path, splits)
    opened, _ = open_splits(tmp_path, 1, splits.num_classes, fraction=0.5, seed=3)
    assert np.bincount(opened.train.labels).tolist() == [10, 10, 10]
    assert len(opened.validation) == 30
    with pytest.raises(ConfigError, match=r"^tune.data_fraction 0.5 takes 0.002 MiB of images"):
        open_splits(tmp_path, 0, splits.num_classes, fraction=0.5)


def test_images_within_the_limit_are_held_in_memory(tmp_path, splits):
    in_shards(tmp_path, splits)
    opened, place = open_splits(tmp_path, 1, splits.num_classes)
    np.testing.assert_array_equal(opened.train.images, splits.train.images)
    np.testing.assert_array_equal(opened.validation.labels, splits.validation.labels)
    assert place == "0.003 MiB of images, held in memory"


@pytest.mark.parametrize(
    ("steps", "limit", "at_once"),
    [
        (1, None, 1),
        (5, None, 5),
        (32, None, 32),
        (64, None, 32),
        (430, None, 10),
        (431, None, 1),
        (990, None, 30),
        (990, 31, 30),
        (990, 29, 22),
        (990, 1, 1),
        (990, 100, 30),
    ],
)
def test_steps_per_execution_divide_the_epoch(steps, limit, at_once):
    assert steps_at_once(steps, limit) == at_once


def test_progress_counts_every_step_of_every_epoch_and_a_step_is_traced_once(
    tiny_model, make_config, splits
):
    task, step, traced = CountingTask(), tiny_model.train_step, []

    def tracing(data):
        traced.append(data)
        return step(data)

    tiny_model.train_step = tracing
    train(tiny_model, make_config(epochs=3, batch_size=7), splits, ShowProgress(task))
    assert task.total == 3 * 9
    assert tiny_model.steps_per_execution == 9
    assert int(tiny_model.optimizer.iterations) == 3 * 9
    assert len(traced) == 1


def test_the_moving_average_of_the_weights_is_what_is_measured_and_kept(
    tiny_model, make_config, splits
):
    best = KeepBest("val_loss")
    config = make_config(epochs=4, batch_size=60, ema_momentum=0.75, learning_rate=0.05)
    recorder = train(tiny_model, config, splits, best)
    average = recorder.weights[0]
    for weights in recorder.weights[1 : best.epoch + 1]:
        average = [0.75 * a + 0.25 * w for a, w in zip(average, weights, strict=True)]
    assert best.epoch == 3
    for kept, by_hand, raw in zip(best.weights, average, recorder.weights[3], strict=True):
        np.testing.assert_allclose(kept, by_hand, atol=1e-6)
        assert np.abs(kept - raw).max() > 1e-3
    tiny_model.set_weights(best.weights)
    targets = np.eye(3)[splits.validation.labels]
    loss, _ = tiny_model.evaluate(splits.validation.images.astype("float32"), targets, verbose=0)
    assert loss == pytest.approx(best.logs["val_loss"], rel=1e-5)


def test_early_stopping_waits_for_its_patience(tiny_model, make_config, splits):
    wrong = LabelledImages(splits.validation.images, (splits.validation.labels + 1) % 3)
    config = make_config(epochs=30, batch_size=60, learning_rate=0.05, early_stopping_patience=2)
    best = KeepBest("val_loss")
    recorder = train(tiny_model, config, Splits(splits.train, wrong, 3), best)
    losses = [logs["val_loss"] for logs in recorder.logs]
    assert best.epoch == int(np.argmin(losses))
    assert len(losses) == best.epoch + 1 + 2 < 30


@pytest.mark.parametrize(("class_weights", "share"), [("none", 0.75), ("balanced", 1 / 2)])
def test_balanced_weights_make_a_rare_class_count_as_much(make_config, class_weights, share):
    """Of equal images, three quarters of class 0, a network can only learn the shares."""
    images = np.full((40, 6, 6, 1), 255, np.uint8)
    data = LabelledImages(images, (np.arange(40) >= 30).astype(np.int64))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    config = make_config(
        epochs=20,
        batch_size=40,
        optimizer="sgd",
        learning_rate=1.0,
        momentum=0.0,
        class_weights=class_weights,
    )
    train(model, config, Splits(data, data, 2))
    predicted = model(images[:1].astype("float32")).numpy()[0]
    assert predicted[0] == pytest.approx(share, abs=0.01)


def test_a_network_learns_from_mixed_images_of_a_rare_class_too(tiny_model, make_config, splits):
    section = AugmentationSection(mixup_alpha=1.0, cutmix_alpha=1.0)
    config = make_config(
        epochs=15, batch_size=20, learning_rate=0.05, class_weights="balanced", label_smoothing=0.1
    ).model_copy(update={"augmentation": section})
    kept = np.flatnonzero((splits.train.labels > 0) | (np.arange(60) < 15))
    rare = Splits(splits.train.select(kept), splits.validation, 3)
    recorder = train(tiny_model, config, rare)
    assert recorder.logs[-1]["loss"] < recorder.logs[0]["loss"]
    assert recorder.logs[-1]["val_accuracy"] == 1.0


def test_a_class_without_training_images_does_not_stop_balanced_training(
    tiny_model, make_config, splits
):
    two = splits.train.select(np.flatnonzero(splits.train.labels < 2))
    config = make_config(epochs=2, batch_size=20, class_weights="balanced")
    recorder = train(
        tiny_model, config, Splits(two, splits.validation, 3), StopOnDivergence(config.train)
    )
    assert len(recorder.logs) == 2


def test_a_diverging_training_ends_in_an_error(tiny_model, make_config, splits):
    tiny_model.set_weights([np.full_like(w, np.nan) for w in tiny_model.get_weights()])
    config = make_config(epochs=1)
    with pytest.raises(StageError, match="the loss became nan"):
        train(tiny_model, config, splits, StopOnDivergence(config.train))


def test_mixed_float16_trains_with_a_finite_loss_and_a_moving_average(make_config, splits):
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(4, 3, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(3),
                keras.layers.Activation("softmax", dtype="float32"),
            ]
        )
    finally:
        keras.config.set_dtype_policy(policy)
    config = make_config(epochs=4, batch_size=20, learning_rate=0.01, ema_momentum=0.9)
    recorder = train(model, config, splits, StopOnDivergence(config.train))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = [logs["loss"] for logs in recorder.logs]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert {weight.dtype.name for weight in recorder.weights[-1]} == {"float32"}
