"""How good the answers are: accuracy with its interval, loss, and scores by class."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom, binomtest
from sklearn import metrics as sklearn_metrics

SMALLEST_PROBABILITY = 1e-7
"""As in Keras: keeps the loss of a probability of 0 finite, at 16.1 nats."""

LUCK = 0.05
"""How often naming the largest class always may be right for more images than was seen."""


class Interval(NamedTuple):
    low: float
    high: float


class MeanScores(NamedTuple):
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ClassScores:
    """Scores by class. A ratio without cases (0/0) is 0, also within the means.

    Attributes:
        precision: float64 (classes,), TP / (TP + FP).
        recall: float64 (classes,), TP / (TP + FN).
        f1: float64 (classes,), 2 TP / (2 TP + FP + FN).
        support: int64 (classes,), the images of each class, TP + FN.
        macro: mean precision, recall and F1, each class counting the same.
        weighted: the same means, each class counting by its support.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    macro: MeanScores
    weighted: MeanScores


def wilson_interval(successes: int, total: int) -> Interval:
    """The 95 % score interval of a proportion, sound near 0 and 1 where the normal one is not.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical
    inference", J. Am. Stat. Assoc. 22, 209-212; computed by SciPy.
    """
    found = binomtest(successes, total).proportion_ci(0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def is_guessing(right: int, support: np.ndarray) -> bool:
    """Whether so many right answers are no more than naming the largest class always may give.

    Args:
        right: images that were answered rightly.
        support: int (classes,), the images of each class.
    """
    total = int(support.sum())
    return bool(binom.sf(right - 1, total, support.max() / total) > LUCK)


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-ln of the probability given to the true class, from `SMALLEST_PROBABILITY` up.

    Args:
        probabilities: float (count, classes).
        labels: int64 (count,).

    Returns:
        float64 (count,), in nats.
    """
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(true, SMALLEST_PROBABILITY, 1.0))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts, int64 (classes, classes): rows are the truth, columns the prediction."""
    return sklearn_metrics.confusion_matrix(labels, predicted, labels=range(num_classes))


def class_scores(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> ClassScores:
    """Precision, recall, F1 and support of each class, and their means.

    Source: Sokolova & Lapalme (2009), "A systematic analysis of performance measures for
    classification tasks", Inf. Process. Manag. 45, table 3; computed by scikit-learn.
    """

    def scores(average: str | None) -> tuple[Any, Any, Any, Any]:
        return sklearn_metrics.precision_recall_fscore_support(
            labels, predicted, labels=range(num_classes), average=average, zero_division=0
        )

    def means(average: str) -> MeanScores:
        return MeanScores(*(float(value) for value in scores(average)[:3]))

    precision, recall, f1, support = scores(None)
    return ClassScores(precision, recall, f1, support, means("macro"), means("weighted"))
