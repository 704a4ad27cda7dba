"""What guessing reaches, worked out by hand, by exact sums and by throwing dice."""

import math

import numpy as np
import pytest

from pipeline.config.loading import load_config
from pipeline.core.plugins import ROOT
from pipeline.tuning.base_search import Trial
from pipeline.tuning.chance import Chance, chance, of_accuracy, of_loss


def test_of_ten_images_of_two_equal_classes_nine_right_are_more_than_luck():
    # Of 1,024 ways, 11 have nine or more right (0.011), 56 eight or more (0.055).
    assert of_accuracy((5, 5), looks=1) == Chance(0.5, 0.9, is_accuracy=True)


def test_more_looks_ask_for_more():
    # A fifth of 0.05 is less than 0.0107; all right is luck once in 1,024 times.
    assert of_accuracy((5, 5), looks=5).bound == 1.0


def test_too_few_images_tell_nothing():
    guessing = of_accuracy((3, 3), looks=4)  # all right is luck once in 64 times, not in 80
    assert not guessing.can_be_beaten
    assert not guessing.is_beaten_by(1.0)
    assert of_accuracy((3, 3), looks=3).can_be_beaten


def test_a_class_that_is_all_of_validation_cannot_be_beaten():
    assert not of_accuracy((40, 0), looks=1).can_be_beaten


@pytest.mark.parametrize("counts", [(13, 9, 11, 8, 10, 9, 12, 10, 9, 9), (190, 10), (500, 0, 1)])
@pytest.mark.parametrize("looks", [1, 12, 300])
def test_the_bound_is_the_first_count_whose_exact_tail_is_short_enough(counts, looks):
    total, most = sum(counts), max(counts)

    def tail(right):
        ways = [math.comb(total, k) * most**k * (total - most) ** (total - k) for k in range(right)]
        return (total**total - sum(ways)) / total**total

    first = next(k for k in range(total + 2) if k > total or tail(k) <= 0.05 / looks)
    guessing = of_accuracy(counts, looks)
    assert guessing.level == most / total
    assert guessing.bound * total == pytest.approx(first)
    assert guessing.can_be_beaten == (first <= total)
    assert guessing.is_beaten_by(float(np.float32(min(first, total) / total))) == (first <= total)
    assert not guessing.is_beaten_by(float(np.float32((first - 1) / total)))


def test_searches_whose_trials_guess_are_told_apart_nineteen_times_of_twenty():
    random = np.random.default_rng(0)
    right = random.binomial(100, 0.13, (4000, 20)).max(axis=1)
    guessing = of_accuracy((13, 9, 11, 8, 10, 9, 12, 10, 9, 9), looks=20)
    share = np.mean([guessing.is_beaten_by(each / 100) for each in right])
    assert 0.001 < share < 0.05


def test_a_loss_has_to_be_below_the_entropy_by_what_luck_gives():
    guessing = of_loss((5, 5), looks=1)
    assert guessing.level == pytest.approx(0.6931, abs=1e-4)
    assert guessing.bound == pytest.approx(0.6931 - 2.9957 / 10, abs=1e-4)  # ln 20 = 2.9957
    assert guessing.is_beaten_by(0.39)
    assert not guessing.is_beaten_by(0.40)


def test_smoothed_labels_have_the_entropy_of_smoothed_shares():
    # Nine of ten and one of ten, smoothed by 0.2: 0.82 and 0.18.
    expected = -0.82 * math.log(0.82) - 0.18 * math.log(0.18)
    assert of_loss((9, 1), 1, label_smoothing=0.2).level == pytest.approx(expected)
    assert of_loss((9, 0), 1).level == 0


@pytest.mark.parametrize("count", [20, 1000])
def test_losses_of_guesses_at_random_stay_above_the_bound(count):
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    bound = of_loss((count // 2, count // 2), looks=1).bound
    below = 0
    for spread in (0.1, 1.0, 3.0) * 300:
        guess = 1 / (1 + np.exp(spread * random.normal(size=count)))
        below += -np.log(np.where(labels, guess, 1 - guess)).mean() <= bound
    assert below <= 0.05 * 900


def search(*overrides, values=({},), score=0.5):
    config = load_config(ROOT / "configs" / "mnist.yaml", overrides)
    return config, [Trial(n, value, 3, score) for n, value in enumerate(values, 1)], (30, 20)


def test_each_epoch_of_each_trial_with_a_score_is_a_look():
    config, trials, counts = search(values=({}, {}))
    assert chance(config, [*trials, Trial(3, {}, 9, None)], counts) == of_accuracy(counts, 6)


def test_a_loss_is_judged_with_the_label_smoothing_that_was_tried():
    objective = "tune.objective=val_loss"
    assert chance(*search(objective, "train.label_smoothing=0.1")) == of_loss((30, 20), 3, 0.1)
    tried = ({"train.label_smoothing": 0.0}, {"train.label_smoothing": 0.2})
    assert chance(*search(objective, values=tried)) == of_loss((30, 20), 6, 0.2)


def test_a_loss_with_a_penalty_on_weights_tells_nothing_of_guessing():
    penalised = search("tune.objective=val_loss", values=({"model.l2": 0.01},))
    assert chance(*penalised).is_beaten_by(99.0)
