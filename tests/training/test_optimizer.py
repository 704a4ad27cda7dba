"""Optimizers, loss and class weights against steps worked out by hand."""

import math

import keras
import numpy as np
import pytest

from pipeline.config.schema import TrainSection
from pipeline.training.optimizer import class_weights, compile_model, create_optimizer, weigh

OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop"]
SCHEDULES = ["constant", "exponential", "cosine", "one_cycle"]


def steps(gradients, **options):
    """A weight of 1 after each step at a rate of 0.1 down these gradients."""
    optimizer = create_optimizer(TrainSection(learning_rate=0.1, **options), 100)
    weight = keras.Variable(1.0)
    values = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        values.append(float(weight))
    return values


def test_sgd_goes_down_the_gradient():
    assert steps([2.0, 2.0], optimizer="sgd", momentum=0.0) == pytest.approx([0.8, 0.6])


def test_momentum_adds_nine_tenths_of_the_last_step():
    # v = -0.2, then 0.9 * -0.2 - 0.2 = -0.38
    assert steps([2.0, 2.0], optimizer="sgd", momentum=0.9) == pytest.approx([0.8, 0.42])


def test_nesterov_looks_one_step_ahead():
    # v = -0.2; the weight moves by 0.9 * v - 0.2
    assert steps([2.0], optimizer="sgd", momentum=0.9, nesterov=True) == pytest.approx([0.62])


def test_the_first_step_of_adam_is_the_rate():
    assert steps([2.0], optimizer="adam") == pytest.approx([0.9], abs=1e-5)


def test_the_first_step_of_rmsprop_is_the_rate_over_the_root_of_a_tenth():
    assert steps([2.0], optimizer="rmsprop") == pytest.approx([1 - 0.1 / math.sqrt(0.1)], abs=1e-4)


@pytest.mark.parametrize(("optimizer", "step"), [("adamw", 0.1), ("adam", 0.1), ("sgd", 0.2)])
def test_weight_decay_takes_its_share_of_the_weight_at_the_rate(optimizer, step):
    momentum = {"momentum": 0.0} if optimizer == "sgd" else {}
    stepped = steps([2.0], optimizer=optimizer, weight_decay=0.5, **momentum)
    assert stepped == pytest.approx([1 - 0.1 * 0.5 - step], abs=1e-5)


def test_adamw_without_weight_decay_is_adam():
    gradients = [2.0, -1.0, 0.5]
    assert steps(gradients, optimizer="adamw") == steps(gradients, optimizer="adam")


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_with_each_schedule_makes_a_step(tiny_model, splits, optimizer, schedule):
    section = TrainSection(
        optimizer=optimizer, schedule=schedule, weight_decay=0.01, ema_momentum=0.9
    )
    compile_model(tiny_model, section, 10, {"jit_compile": False, "run_eagerly": True})
    before = tiny_model.get_weights()
    targets = np.eye(3, dtype=np.float32)[splits.train.labels]
    loss, accuracy = tiny_model.train_on_batch(splits.train.images.astype("float32"), targets)
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1
    for old, new in zip(before, tiny_model.get_weights(), strict=True):
        assert not np.array_equal(old, new)
        assert np.isfinite(new).all()


def test_label_smoothing_spreads_its_share_over_all_classes(tiny_model):
    section = TrainSection(label_smoothing=0.3)
    compile_model(tiny_model, section, 1, {"jit_compile": False, "steps_per_execution": 1})
    loss = tiny_model.compute_loss(
        y=np.array([[1.0, 0.0, 0.0]]), y_pred=np.array([[0.7, 0.2, 0.1]], dtype=np.float32)
    )
    by_hand = -(0.8 * math.log(0.7) + 0.1 * math.log(0.2) + 0.1 * math.log(0.1))
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


def test_class_weights_make_each_class_count_the_same():
    assert class_weights([10, 30, 20]) == pytest.approx({0: 2.0, 1: 2 / 3, 2: 1.0})


def test_each_share_of_a_target_counts_by_the_weight_of_its_class(tiny_model):
    targets = np.array([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], np.float32)
    weights = np.array([3.0, 0.5, 2.0], np.float32)
    answers = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4]], np.float32)
    _, weighted, sample_weights = weigh(None, targets, weights)
    compile_model(tiny_model, TrainSection(), 1, {"jit_compile": False})
    loss = tiny_model.compute_loss(y=weighted, y_pred=answers, sample_weight=sample_weights)
    assert float(loss) == pytest.approx(-(targets * weights * np.log(answers)).sum() / 3, rel=1e-5)
    np.testing.assert_allclose(weighted.numpy().sum(axis=1), 1, atol=1e-6)


def test_a_target_of_one_class_stays_and_gets_its_weight():
    targets = np.eye(3, dtype=np.float32)
    weights = np.array([0.1, 1 / 3, 7.0], np.float32)
    images, weighted, sample_weights = weigh(targets, targets, weights)
    assert images is targets
    np.testing.assert_array_equal(weighted, targets)
    np.testing.assert_array_equal(sample_weights, weights)


def test_a_class_without_images_has_no_weight_and_takes_none_from_others():
    assert class_weights([10, 0, 30]) == pytest.approx({0: 2.0, 2: 2 / 3})
