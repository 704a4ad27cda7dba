"""Learning rates against values worked out by hand."""

import math

import keras
import pytest

from pipeline.config.schema import TrainSection
from pipeline.training.optimizer import OneCycle, learning_rate


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
