import numpy as np
import pytest

from export.verification.gates import Comparison, apply_gate, compare
from pipeline.config.schema import Gate
from pipeline.core.errors import ExportError

KERAS = np.array([[0.7, 0.2, 0.1], [0.41, 0.4, 0.19], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]], np.float32)
GIVEN = np.array([[0.6, 0.3, 0.1], [0.4, 0.41, 0.19], [0.5, 0.1, 0.4], [0.3, 0.6, 0.1]], np.float32)
LABELS = np.array([0, 1, 2, 0])


def test_figures_agree_with_a_count_by_hand():
    figures = compare(GIVEN, KERAS, LABELS, tie_margin=0.05)
    assert figures.accuracy == 2 / 4  # images 0 and 1
    assert figures.accuracy_difference_points == 0  # Keras has 0 and 2
    assert figures.agreement == 2 / 4  # images 0 and 3
    assert figures.disagreements == 1  # image 2; image 1 is a tie
    assert figures.largest_difference == pytest.approx(0.4)


def test_a_narrower_margin_makes_a_tie_a_disagreement():
    assert compare(GIVEN, KERAS, LABELS, tie_margin=0.005).disagreements == 2


def test_a_tie_excuses_only_the_classes_that_tie():
    third = np.array([[0.1, 0.2, 0.7]], np.float32)
    assert compare(third, KERAS[1:2], LABELS[1:2], tie_margin=0.05).disagreements == 1


def test_answers_to_other_images_are_refused():
    with pytest.raises(ExportError, match=r"shape \(3, 3\), expected \(4, 3\)"):
        compare(GIVEN[:3], KERAS, LABELS, 0.0)


def test_an_answer_that_is_no_number_is_refused():
    given = GIVEN.copy()
    given[2, 1] = np.nan
    with pytest.raises(ExportError, match="test image 2 is not finite"):
        compare(given, KERAS, LABELS, 0.0)


def figures(points=0.0, disagreements=0, largest_difference=0.0):
    return Comparison(0.9, points, 1.0, disagreements, largest_difference, 1000)


@pytest.mark.parametrize(("disagreements", "passed"), [(0, True), (1, False)])
def test_one_disagreement_is_too_many(disagreements, passed):
    check, _ = apply_gate(figures(disagreements=disagreements), Gate(tie_margin=1e-4))
    assert check.passed is passed
    assert (check.value, check.bound) == (disagreements, 0)


@pytest.mark.parametrize(("difference", "passed"), [(1e-4, True), (1.1e-4, False)])
def test_the_same_classes_with_other_probabilities_are_not_the_same(difference, passed):
    _, check = apply_gate(figures(largest_difference=difference), Gate(tie_margin=1e-4))
    assert check.passed is passed
    assert (check.value, check.bound) == (difference, 1e-4)


@pytest.mark.parametrize(("points", "passed"), [(0.5, True), (-0.3, True), (-0.31, False)])
def test_accuracy_may_fall_by_the_bound_and_no_more(points, passed):
    (check,) = apply_gate(figures(points=points), Gate(max_accuracy_drop_points=0.3))
    assert check.passed is passed
    assert check.value == -points


def test_three_of_a_thousand_images_are_exactly_the_bound():
    keras, given = np.tile([0.9, 0.1], (1000, 1)), np.tile([0.9, 0.1], (1000, 1))
    given[:3] = [0.1, 0.9]
    lost = compare(given, keras, np.zeros(1000, int), 0.0)
    assert apply_gate(lost, Gate(max_accuracy_drop_points=0.3))[0].passed


def test_a_gate_with_two_bounds_checks_both():
    checks = apply_gate(figures(-1.0, 2), Gate(tie_margin=0.0, max_accuracy_drop_points=0.5))
    assert [check.passed for check in checks] == [False, True, False]
    assert "on 2 images" in checks[0].reason
    assert checks[2].reason == "accuracy is -1.00 points from Keras'; -0.5 is allowed"


def test_where_one_image_is_more_than_is_allowed_it_is_said_how_many_would_tell():
    keras, given = np.tile([0.9, 0.1], (100, 1)), np.tile([0.9, 0.1], (100, 1))
    given[0] = [0.1, 0.9]
    lost = compare(given, keras, np.zeros(100, int), 0.0)
    (check,) = apply_gate(lost, Gate(max_accuracy_drop_points=0.3))
    assert not check.passed
    assert check.reason == (
        "accuracy is -1.00 points from Keras'; -0.3 is allowed; each of 100 test images counts "
        "for 1: test on 334 or more, or allow more in verify.gates"
    )
