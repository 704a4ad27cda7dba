import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from pipeline.evaluation.metrics import (
    class_scores,
    confusion_matrix,
    cross_entropy,
    is_guessing,
    wilson_interval,
)

# Class 0: two of three found. Class 1: found, and one more called so. Class 2: never seen.
LABELS = np.array([0, 0, 0, 1])
PREDICTED = np.array([0, 0, 1, 1])


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_where_a_share_deviates_by_z_standard_errors(counts):
    """Wilson's own equation: |share - end| = z √(end (1 - end) / total)."""
    successes, total = counts
    share, z = successes / total, NormalDist().inv_cdf(0.975)
    for end in wilson_interval(successes, total):
        deviation = z * math.sqrt(end * (1 - end) / total)
        assert abs(share - end) == pytest.approx(deviation, abs=1e-7)


def test_the_interval_of_half_of_four_is_as_worked_by_hand():
    # z² = 3.8415; centre 1/2; half width z √(1/16 + z²/64) / (1 + z²/4) = 0.3500.
    assert wilson_interval(2, 4) == pytest.approx((0.1500, 0.8500), abs=5e-5)


def test_no_mistakes_leave_an_interval_below_1():
    low, high = wilson_interval(100, 100)
    assert high == 1
    assert 0.96 < low < 0.97


def test_cross_entropy_is_minus_the_logarithm_of_the_true_class():
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32)
    losses = cross_entropy(probabilities, np.array([1, 2]))
    assert losses == pytest.approx([math.log(4), -math.log(0.8)])


def test_cross_entropy_of_an_impossible_truth_is_finite():
    losses = cross_entropy(np.array([[1.0, 0.0]], np.float32), np.array([1]))
    assert losses == pytest.approx([-math.log(1e-7)])


def test_mean_cross_entropy_is_the_log_loss_of_scikit_learn():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), 200)
    labels = random.integers(0, 5, 200)
    expected = log_loss(labels, probabilities, labels=range(5))
    assert cross_entropy(probabilities, labels).mean() == pytest.approx(expected)


def test_rows_of_the_confusion_matrix_are_the_truth():
    expected = [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert confusion_matrix(LABELS, PREDICTED, 3).tolist() == expected


def test_scores_by_class_are_as_worked_by_hand():
    scores = class_scores(LABELS, PREDICTED, 3)
    assert scores.precision == pytest.approx([1, 1 / 2, 0])
    assert scores.recall == pytest.approx([2 / 3, 1, 0])
    assert scores.f1 == pytest.approx([4 / 5, 2 / 3, 0])
    assert scores.support.tolist() == [3, 1, 0]


def test_a_class_without_images_counts_as_0_in_the_macro_mean_alone():
    scores = class_scores(LABELS, PREDICTED, 3)
    assert scores.macro == pytest.approx((1 / 2, 5 / 9, 22 / 45))
    assert scores.weighted == pytest.approx((7 / 8, 3 / 4, 23 / 30))


@given(st.lists(st.integers(0, 50), min_size=2, max_size=5).filter(any), st.floats(0, 1))
def test_guessing_is_what_a_test_of_the_largest_share_cannot_rule_out(support, part):
    total = sum(support)
    right = round(part * total)
    by_luck = binomtest(right, total, max(support) / total, alternative="greater").pvalue
    assert is_guessing(right, np.array(support)) == (by_luck > 0.05)
