import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_bins,
)

# Two bins. (0, ½]: confidences 0.4 and 0.5, one right. (½, 1]: 0.8, 0.9, 1.0, two right.
CONFIDENCES = np.array([0.4, 0.8, 0.5, 0.9, 1.0])
IS_CORRECT = np.array([True, True, False, True, False])


def test_bins_hold_what_was_sorted_by_hand():
    low, high = reliability_bins(CONFIDENCES, IS_CORRECT, 2)
    assert (low.low, low.high, low.count) == (0, 0.5, 2)
    assert (low.confidence, low.accuracy) == pytest.approx((0.45, 1 / 2))
    assert (high.low, high.high, high.count) == (0.5, 1, 3)
    assert (high.confidence, high.accuracy) == pytest.approx((0.9, 2 / 3))


def test_the_expected_error_weighs_gaps_by_images():
    bins = reliability_bins(CONFIDENCES, IS_CORRECT, 2)
    assert expected_calibration_error(bins) == pytest.approx((2 * 0.05 + 3 * (0.9 - 2 / 3)) / 5)


def test_the_maximum_error_is_the_widest_gap():
    bins = reliability_bins(CONFIDENCES, IS_CORRECT, 2)
    assert maximum_calibration_error(bins) == pytest.approx(0.9 - 2 / 3)


def test_empty_bins_are_left_out():
    bins = reliability_bins(np.array([0.05, 0.95]), np.array([True, True]), 10)
    assert [b.count for b in bins] == [1, 1]


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_the_expected_error_agrees_with_a_plain_loop(bins, seed):
    random = np.random.default_rng(seed)
    confidences, is_correct = random.uniform(1e-6, 1, 300), random.random(300) < 0.7
    expected = 0.0
    for i in range(bins):
        inside = [
            (p, c) for p, c in zip(confidences, is_correct, strict=True) if i < p * bins <= i + 1
        ]
        if inside:
            expected += abs(sum(c for _, c in inside) - sum(p for p, _ in inside)) / 300
    found = expected_calibration_error(reliability_bins(confidences, is_correct, bins))
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_brier_score_sums_over_classes():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], np.float32)
    # (0.3² + 0.2² + 0.1²) = 0.14, and a certain mistake costs 2.
    assert brier_score(probabilities, np.array([0, 2])) == pytest.approx((0.14 + 2) / 2)


def test_the_brier_score_leaves_its_input_alone():
    probabilities = np.array([[0.25, 0.75]])
    brier_score(probabilities, np.array([1]))
    assert probabilities.tolist() == [[0.25, 0.75]]
