"""Renders report.html: one page that holds all it shows and opens without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from pipeline.data.dataset_json import Preparation
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.report import charts, data_section, data_urls, html, number_format
from pipeline.evaluation.report.history import History
from pipeline.evaluation.report.provenance import Fact
from pipeline.evaluation.report.summary import METRICS, Summary

TEMPLATE = "report.html.jinja"
MOST_CONFUSIONS = 10
LARGEST_MATRIX = 120
DENSE_MATRIX = 16
LEVELS = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Shares of a true class at which a cell of the confusion matrix gets a stronger colour."""


@dataclass(frozen=True)
class Dataset:
    """What the report says of the data.

    Attributes:
        classes: names, in label order.
        counts: images of each class, by split.
        images: uint8 (count, height, width, channels), the test split.
        origin: where the images come from, in words.
        files: names of the test images' files, or None where they came from none.
        preview: a PNG of augmented samples, or None.
        checks: what the checks of ingest found, as `checks.json` has it, or None.
        alike: images that were found alike, uint8 (height, width, channels), by number.
        preparation: how ink lies in the images, or None where they are something else.
    """

    classes: Sequence[str]
    counts: Mapping[str, Sequence[int]]
    images: np.ndarray
    origin: str
    files: Sequence[str] | None = None
    preview: bytes | None = None
    checks: Mapping[str, Any] | None = None
    alike: Mapping[int, np.ndarray] = field(default_factory=dict)
    preparation: Preparation | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape[1:]


@dataclass(frozen=True)
class Origin:
    """Whose report it is: names, and facts by heading on how the model was made."""

    config: str
    model: str
    facts: Mapping[str, Sequence[Fact]]


@dataclass(frozen=True)
class Confusion:
    """A pair of classes that was mixed up."""

    truth: str
    prediction: str
    count: int
    share: float


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: the image as a `data:` URL, what was said of it, its file if it has one."""

    index: int
    url: str
    truth: str
    prediction: str
    probability: float
    file: str | None


@dataclass(frozen=True)
class Evaluation:
    """All that a report shows."""

    summary: Summary
    predictions: Predictions
    history: History
    dataset: Dataset
    origin: Origin


def render(evaluation: Evaluation, *, worst_mistakes: int, made: datetime) -> str:
    """The page as HTML; two calls differ in the date alone.

    Args:
        evaluation: what to show.
        worst_mistakes: how many wrong answers to show as pictures.
        made: the moment to print as the report's date, in UTC.
    """
    summary, dataset = evaluation.summary, evaluation.dataset
    matrix = matrix_cells(summary.confusion)
    variables = {
        "evaluation": evaluation,
        "summary": summary,
        "figures": [
            (metric.title, number_format.FILTERS[metric.shown](summary.figures[name]))
            for name, metric in METRICS.items()
        ],
        "dataset": dataset,
        "origin": evaluation.origin,
        "made": made,
        "decimals": 2 if summary.test_images >= 1000 else 1,
        "matrix": matrix,
        "colour_key": colour_key(matrix),
        "confusions": most_confused(summary.confusion, dataset.classes),
        "curves": _curves(evaluation.history),
        "kept": evaluation.history.kept,
        "members": evaluation.history.members,
        "reliability": charts.reliability_diagram(summary.bins),
        "mistakes": _mistakes(evaluation, worst_mistakes),
        "pairs": data_section.pairs(dataset.checks, dataset.alike),
        "class_pixels": data_section.class_pixels(dataset.checks, LARGEST_MATRIX),
        "dense": DENSE_MATRIX,
        "chart": charts,
        "tick_number": "{:g}".format,
        "tick_percent": number_format.tick_percent,
    }
    return html.render(TEMPLATE, variables)


def most_confused(confusion: np.ndarray, classes: Sequence[str]) -> list[Confusion]:
    """The most frequent mistakes, at most `MOST_CONFUSIONS`, most frequent first.

    Args:
        confusion: int64 (classes, classes), rows are the truth.
        classes: names, in label order.
    """
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    pairs = (divmod(int(place), len(classes)) for place in order)
    return [
        Confusion(classes[i], classes[j], int(wrong[i, j]), float(wrong[i, j] / confusion[i].sum()))
        for i, j in pairs
        if wrong[i, j]
    ]


def matrix_cells(confusion: np.ndarray) -> list[list[tuple[int, int]]] | None:
    """(count, level of colour) of each cell; None where there are too many classes to read."""
    if len(confusion) > LARGEST_MATRIX:
        return None
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    levels = np.where(confusion > 0, 1 + np.searchsorted(LEVELS, shares, side="right"), 0)
    return [
        list(zip(*rows, strict=True))
        for rows in zip(confusion.tolist(), levels.tolist(), strict=True)
    ]


def colour_key(matrix: list[list[tuple[int, int]]] | None) -> list[tuple[int, str]]:
    """The levels of colour that the matrix shows beside its diagonal, with what they stand for."""
    shown = {
        level
        for truth, row in enumerate(matrix or ())
        for prediction, (count, level) in enumerate(row)
        if count and truth != prediction
    }
    return [(level, _share_words(level)) for level in sorted(shown)]


def _share_words(level: int) -> str:
    """`under 0.5 %`, `2 to 5 %`, `10 % and more`."""
    if level == 1:
        return f"under {number_format.tick_percent(LEVELS[0])}"
    low = LEVELS[level - 2]
    if level > len(LEVELS):
        return f"{number_format.tick_percent(low)} and more"
    return f"{100 * low:g} to {number_format.tick_percent(LEVELS[level - 1])}"


def _curves(history: History) -> list[charts.Curves]:
    wanted = (("Loss", "loss"), ("Accuracy", "accuracy"))
    found = (charts.learning_curves(history, title, column) for title, column in wanted)
    return [curves for curves in found if curves]


def _mistakes(evaluation: Evaluation, count: int) -> list[Mistake]:
    predictions, dataset = evaluation.predictions, evaluation.dataset
    return [
        Mistake(
            index=int(i),
            url=data_urls.image_url(dataset.images[i]),
            truth=dataset.classes[predictions.labels[i]],
            prediction=dataset.classes[predictions.predicted[i]],
            probability=float(predictions.confidences[i]),
            file=dataset.files[i] if dataset.files else None,
        )
        for i in predictions.worst_mistakes(count)
    ]
