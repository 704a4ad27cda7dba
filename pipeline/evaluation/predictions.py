"""What a model said of each test image, beside what is true."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.evaluation.metrics import cross_entropy

COLUMNS = ("index", "label", "prediction", "probability", "loss")


@dataclass(frozen=True)
class Predictions:
    """The answers of a model to labelled images.

    Attributes:
        labels: int64 (count,), the true classes.
        probabilities: float32 (count, classes), rows that sum to 1.
    """

    labels: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return self.probabilities.shape[1]

    @cached_property
    def predicted(self) -> np.ndarray:
        """int64 (count,): the most probable class; of equal ones the first."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidences(self) -> np.ndarray:
        """float32 (count,): the probability of the predicted class."""
        return self.probabilities.max(axis=1)

    @cached_property
    def is_correct(self) -> np.ndarray:
        """Whether each answer is right, bool (count,)."""
        return self.predicted == self.labels

    @cached_property
    def losses(self) -> np.ndarray:
        """float64 (count,): the cross-entropy of each image, in nats."""
        return cross_entropy(self.probabilities, self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self.losses.mean())

    def worst_mistakes(self, count: int) -> np.ndarray:
        """Indices of the wrong answers of highest loss, worst first: int64 (at most count,)."""
        wrong = np.flatnonzero(~self.is_correct)
        return wrong[np.argsort(-self.losses[wrong], kind="stable")][:count]


def write_csv(
    predictions: Predictions,
    classes: Sequence[str],
    path: Path,
    files: Sequence[str] | None = None,
) -> None:
    """Writes one row an image, in the order of the test split, with names of classes.

    Args:
        predictions: what to write.
        classes: names, in label order.
        path: where to.
        files: names of the images' files, which go into a last column `file`.
    """
    columns = (
        (classes[label] for label in predictions.labels),
        (classes[label] for label in predictions.predicted),
        (f"{value:.6f}" for value in predictions.confidences),
        (f"{value:.6f}" for value in predictions.losses),
        *([files] if files else []),
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, "file") if files else COLUMNS)
        writer.writerows(zip(range(len(predictions)), *columns, strict=True))
