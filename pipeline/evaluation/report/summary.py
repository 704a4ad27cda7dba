"""Every figure that an evaluation gives, measured once from the predictions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Metric:
    """A figure of all answers together.

    Attributes:
        title: over it in the report.
        measure: from the predictions.
        shown: the filter of `number_format` that writes it.
    """

    title: str
    measure: Callable[[Predictions], float]
    shown: str = "figure"


METRICS: Mapping[str, Metric] = {
    "loss": Metric("Loss", lambda predictions: predictions.loss),
}
"""By their names in metrics.json; the report shows each at its top."""


@dataclass(frozen=True)
class AveragedFigures:
    """The figures of answers that are averaged over views of each image.

    Attributes:
        views: how many, the plain image being one.
        loss: mean cross-entropy, in nats.
    """

    views: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Summary:
    """The figures of one model on the test split.

    Attributes:
        interval: 95 % interval of the accuracy.
        figures: those of METRICS, by name.
        confusion: int64 (classes, classes), rows are the truth.
        test_time: of answers averaged over views, if that was asked for; all else is of answers
            to the plain image.
    """

    test_images: int
    correct: int
    interval: metrics.Interval
    figures: Mapping[str, float]
    brier_score: float
    bins: tuple[calibration.Bin, ...]
    scores: metrics.ClassScores
    confusion: np.ndarray
    test_time: AveragedFigures | None = None

    @property
    def accuracy(self) -> float:
        return self.correct / self.test_images

    @property
    def wrong(self) -> int:
        return self.test_images - self.correct

    @property
    def largest_share(self) -> float:
        """That of the class with the most test images."""
        return float(self.scores.support.max() / self.test_images)

    @property
    def is_guessing(self) -> bool:
        return metrics.is_guessing(self.correct, self.scores.support)

    @property
    def expected_calibration_error(self) -> float:
        return calibration.expected_calibration_error(self.bins)

    @property
    def maximum_calibration_error(self) -> float:
        return calibration.maximum_calibration_error(self.bins)

    def headline(self) -> dict[str, float | int]:
        """The figures that stand for the whole, by name."""
        return {
            "test_images": self.test_images,
            "accuracy": self.accuracy,
            "accuracy_low": self.interval.low,
            "accuracy_high": self.interval.high,
            **self.figures,
            "expected_calibration_error": self.expected_calibration_error,
            "maximum_calibration_error": self.maximum_calibration_error,
            "brier_score": self.brier_score,
            "macro_f1": self.scores.macro.f1,
            **self._test_time_figures(),
        }

    def _test_time_figures(self) -> dict[str, float | int]:
        found = asdict(self.test_time) if self.test_time else {}
        return {f"test_time_{name}": value for name, value in found.items()}

    def as_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Everything, for metrics.json."""
        scores = self.scores
        columns = zip(
            classes, scores.precision, scores.recall, scores.f1, scores.support, strict=True
        )
        names = ("name", "precision", "recall", "f1")
        return {
            **self.headline(),
            "macro": scores.macro._asdict(),
            "weighted": scores.weighted._asdict(),
            "classes": [
                dict(zip(names, (name, *map(float, ratios)), strict=True)) | {"support": int(count)}
                for name, *ratios, count in columns
            ],
            "confusion_matrix": self.confusion.tolist(),
            "calibration_bins": [asdict(b) | {"interval": b.interval._asdict()} for b in self.bins],
        }


def averaged_figures(predictions: Predictions, views: int) -> AveragedFigures:
    accuracy = float(predictions.is_correct.mean())
    return AveragedFigures(views, accuracy, predictions.loss)


def summarize(
    predictions: Predictions, calibration_bins: int, test_time: AveragedFigures | None = None
) -> Summary:
    labels, predicted = predictions.labels, predictions.predicted
    correct, total = int(predictions.is_correct.sum()), len(predictions)
    return Summary(
        test_images=total,
        correct=correct,
        interval=metrics.wilson_interval(correct, total),
        figures={name: float(metric.measure(predictions)) for name, metric in METRICS.items()},
        brier_score=calibration.brier_score(predictions.probabilities, labels),
        bins=calibration.reliability_bins(
            predictions.confidences, predictions.is_correct, calibration_bins
        ),
        scores=metrics.class_scores(labels, predicted, predictions.num_classes),
        confusion=metrics.confusion_matrix(labels, predicted, predictions.num_classes),
        test_time=test_time,
    )
