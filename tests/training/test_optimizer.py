"""Optimizers, schedules, loss and class weights against steps worked out by hand."""

import math

import keras
import numpy as np
import pytest

from pipeline.config.schema import TrainSection
from pipeline.training.optimizer import (
    OneCycle,
    class_weights,
    compile_model,
    create_optimizer,
    learning_rate,
    weigh,
)

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


def rates(section, total_steps, steps):
    schedule = learning_rate(section, total_steps)
    return [float(schedule(step)) for step in steps]


def test_a_constant_rate_is_a_number():
    assert learning_rate(TrainSection(learning_rate=0.3), 100) == 0.3


def test_exponential_decay_halves_its_way_in_the_logarithm():
    section = TrainSection(schedule="exponential", learning_rate=0.5, final_fraction=0.01)
    assert rates(section, 100, [0, 50, 100]) == pytest.approx([0.5, 0.05, 0.005], rel=1e-5)


def test_cosine_decay_passes_the_middle_half_way():
    section = TrainSection(schedule="cosine", learning_rate=0.5, final_fraction=0.01)
    assert rates(section, 100, [0, 50, 100, 120]) == pytest.approx(
        [0.5, (0.5 + 0.005) / 2, 0.005, 0.005], rel=1e-5
    )


def test_one_cycle_rises_from_a_25th_to_the_peak_and_falls_to_the_final_rate():
    section = TrainSection(
        schedule="one_cycle", learning_rate=1.0, warmup_fraction=0.2, final_fraction=0.001
    )
    quarter = 1 - 0.96 * (1 + math.cos(math.pi / 4)) / 2
    assert rates(section, 100, [0, 5, 10, 20, 60, 100, 130]) == pytest.approx(
        [0.04, quarter, 0.52, 1.0, 0.5005, 0.001, 0.001], abs=1e-6
    )


def test_one_cycle_without_warm_up_begins_at_the_peak():
    section = TrainSection(schedule="one_cycle", learning_rate=0.1, warmup_fraction=0.0)
    assert rates(section, 10, [0, 10]) == pytest.approx([0.1, 1e-4], rel=1e-4)


@pytest.mark.parametrize("total_steps", [1, 2])
def test_one_cycle_over_very_few_steps_stays_between_its_ends(total_steps):
    section = TrainSection(schedule="one_cycle", learning_rate=0.1)
    for rate in rates(section, total_steps, range(total_steps + 1)):
        assert 1e-4 * 0.999 <= rate <= 0.1 * 1.001


def test_one_cycle_survives_a_round_trip_through_its_config():
    schedule = OneCycle(0.1, 0.001, 10, 50)
    copy = OneCycle.from_config(schedule.get_config())
    assert [float(copy(step)) for step in (0, 7, 30)] == [
        float(schedule(step)) for step in (0, 7, 30)
    ]
    assert isinstance(copy, keras.optimizers.schedules.LearningRateSchedule)
