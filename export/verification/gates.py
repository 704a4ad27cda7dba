"""Compares a format's answers with Keras', and holds them against the format's gate."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from export.formats.verdict import Check, Micro
from pipeline.config.schema import Gate
from pipeline.core.errors import ExportError


@dataclass(frozen=True)
class Comparison:
    """Figures over one set of images; `formats.verdict.FormatVerdict` says what they mean."""

    accuracy: float
    accuracy_difference_points: float
    agreement: float
    disagreements: int
    largest_difference: float
    images: int


def compare(
    given: np.ndarray, keras: np.ndarray, labels: np.ndarray, tie_margin: float
) -> Comparison:
    """Compares two sets of answers.

    Args:
        given: the format's probabilities, float32 (images, classes).
        keras: Keras' probabilities of the same images.
        labels: int64 (images,).
        tie_margin: a class whose probability Keras puts within this of its highest is as good an
            answer as the highest.

    Raises:
        ExportError: the answers do not belong to the same images, or are no finite numbers.
    """
    if given.shape != keras.shape:
        raise ExportError(f"it gave answers of shape {given.shape}, expected {keras.shape}")
    for whose, answers in (("its", given), ("Keras' own", keras)):
        if not np.isfinite(answers).all():
            images = np.flatnonzero(~np.isfinite(answers).all(axis=1))
            raise ExportError(f"{whose} answer to test image {images[0]} is not finite")
    chosen, expected = given.argmax(axis=1), keras.argmax(axis=1)
    short_of_highest = keras.max(axis=1) - np.take_along_axis(keras, chosen[:, None], axis=1)[:, 0]
    correct, keras_correct = (chosen == labels).sum(), (expected == labels).sum()
    return Comparison(
        accuracy=float(correct / len(labels)),
        accuracy_difference_points=float(100 * (correct - keras_correct) / len(labels)),
        agreement=float((chosen == expected).mean()),
        disagreements=int((short_of_highest > tie_margin).sum()),
        largest_difference=float(np.abs(given - keras).max()),
        images=len(labels),
    )


def apply_gate(comparison: Comparison, gate: Gate) -> tuple[Check, ...]:
    """Holds figures against each bound of a gate."""
    checks = []
    if gate.tie_margin is not None:
        checks.append(_same_predictions(comparison.disagreements, gate.tie_margin))
        checks.append(_same_probabilities(comparison.largest_difference, gate.tie_margin))
    if gate.max_accuracy_drop_points is not None:
        checks.append(_accuracy_drop(comparison, gate.max_accuracy_drop_points))
    return tuple(checks)


def _same_predictions(disagreements: int, tie_margin: float) -> Check:
    reason = (
        f"predicts another class than Keras on {disagreements:,} images where Keras has no tie "
        f"within {tie_margin:g}; 0 are allowed"
    )
    return Check("same predictions", disagreements, 0, disagreements == 0, reason)


def _same_probabilities(largest_difference: float, bound: float) -> Check:
    """A model that scales its pixels twice may predict the same classes, but less surely."""
    reason = (
        f"a probability is {largest_difference:.2g} from Keras'; {bound:g} is allowed where the "
        "same predictions are asked for"
    )
    passed = largest_difference <= bound
    return Check("same probabilities", largest_difference, bound, passed, reason)


def same_in_micro(micro: Micro) -> Check:
    """Whether TensorFlow Lite Micro predicts what LiteRT does, from the same file."""
    different = micro.different or 0
    reason = (
        f"predicts another class in TensorFlow Lite Micro than in LiteRT on {different:,} of "
        f"{micro.images:,} images; 0 are allowed"
    )
    return Check("same on a microcontroller", different, 0, different == 0, reason)


def _accuracy_drop(comparison: Comparison, bound: float) -> Check:
    difference_points, of_one = comparison.accuracy_difference_points, 100 / comparison.images
    # Points are a ratio of counts: 3 of 1,000 images come out a rounding error off 0.3.
    passed = -difference_points <= bound + 1e-9
    reason = f"accuracy is {difference_points:+.2f} points from Keras'; {-bound:g} is allowed"
    if 0 < bound < of_one:
        reason += (
            f"; each of {comparison.images:,} test images counts for {of_one:.2g}: test on "
            f"{ceil(100 / bound):,} or more, or allow more in verify.gates"
        )
    return Check("accuracy drop in points", -difference_points, bound, passed, reason)
