"""Whether probabilities mean what they say: of the answers given at 90 %, are 90 % right?"""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.metrics import Interval, wilson_interval


@dataclass(frozen=True)
class Bin:
    """The images whose predicted class has a probability in (low, high].

    Attributes:
        confidence: mean probability of the predicted class.
        accuracy: share of correct answers.
        interval: 95 % interval of the accuracy.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: Interval

    @property
    def gap(self) -> float:
        return abs(self.accuracy - self.confidence)


def reliability_bins(confidences: np.ndarray, is_correct: np.ndarray, bins: int) -> tuple[Bin, ...]:
    """Sorts answers into bins of equal width; empty bins are left out.

    Args:
        confidences: float (count,), the probability of each predicted class.
        is_correct: bool (count,).
        bins: number of bins between 0 and 1.

    Source: Guo et al. (2017), "On calibration of modern neural networks", equations 1 and 2.
    """
    edges = np.linspace(0, 1, bins + 1)
    members = np.digitize(confidences, edges[1:-1], right=True)
    return tuple(
        _bin(
            float(edges[i]),
            float(edges[i + 1]),
            confidences[members == i],
            is_correct[members == i],
        )
        for i in np.unique(members)
    )


def _bin(low: float, high: float, confidences: np.ndarray, is_correct: np.ndarray) -> Bin:
    count, right = len(is_correct), int(is_correct.sum())
    mean = float(confidences.mean(dtype=np.float64))
    return Bin(low, high, count, mean, right / count, wilson_interval(right, count))


def expected_calibration_error(bins: tuple[Bin, ...]) -> float:
    """Σ (count / total) · |accuracy - confidence| over the bins.

    Source: Guo et al. (2017), equation 3.
    """
    return sum(b.count * b.gap for b in bins) / sum(b.count for b in bins)


def maximum_calibration_error(bins: tuple[Bin, ...]) -> float:
    """The largest |accuracy - confidence| of a bin, however few images it holds.

    Source: Guo et al. (2017), equation 5.
    """
    return max(b.gap for b in bins)


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over images of Σ (probability - truth)² over classes: 0 is perfect, 2 the worst.

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability",
    Mon. Weather Rev. 78, equation 2.

    Args:
        probabilities: float (count, classes).
        labels: int64 (count,).
    """
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(labels)), labels] -= 1
    return float((errors**2).sum(axis=1).mean())
