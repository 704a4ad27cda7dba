"""verify: asks every format about every test image, in the runtime that its user will use."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from export import comparison, contract, failures, golden, verdict
from export.checking import Speed, check
from export.comparison import Comparison
from export.formats import formats, size_bytes
from export.verdict import Check, FormatVerdict, Verdict
from pipeline.config import Gate
from pipeline.data.records import read_split
from pipeline.errors import ExportError, StageError
from pipeline.sources import LabelledImages
from pipeline.stages import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Publishes `verdict.json`, with a row for every format asked for, and `golden/`.

    One format is checked after another, so that none disturbs another's times.

    Raises:
        StageError: Keras' answers are not those to the test split.
    """
    test = read_split(context.inputs["ingest"], "test")
    keras = _keras_answers(context.inputs["evaluate"] / "probabilities.npy", len(test))
    judge = _Judge(context, test, keras)
    names = context.config.export.formats
    rows = []
    with context.progress.task("verifying", len(names)) as task:
        for name in names:
            rows.append(judge.row(name))
            task.advance(1, name)
    result = judge.verdict(tuple(rows))
    verdict.write(result, context.output / verdict.FILE_NAME)
    if judge.answers:
        golden.write(
            context.output / golden.FOLDER,
            test,
            judge.answers,
            contract.read(context.inputs["export"]),
            golden.choose(keras, test.labels),
        )
    return _stage_result(result)


def _keras_answers(path: Path, count: int) -> np.ndarray:
    answers = np.load(path)
    if len(answers) != count:
        raise StageError(
            f"{path}: answers to {len(answers):,} images, but the test split has {count:,}; "
            "run again with --force evaluate"
        )
    return answers


class _Judge:
    """Holds what every format is measured against, and the answers of those that ran."""

    def __init__(self, context: StageContext, test: LabelledImages, keras: np.ndarray) -> None:
        self._section = context.config.verify
        self._folder = context.inputs["export"]
        self._failures = failures.read(self._folder)
        self._images = context.scratch / "test_images.npy"
        np.save(self._images, test.images)
        self._labels = test.labels
        self._keras = keras
        self.answers: dict[str, golden.Answers] = {}

    def row(self, name: str) -> FormatVerdict:
        path = self._folder / formats()[name].path
        size = size_bytes(path) if path.exists() else None
        try:
            figures, speed = self._measured(name, path)
        except ExportError as error:
            checks: tuple[Check, ...] = (Check("runs", None, None, False, str(error)),)
            return FormatVerdict(name, path.name, checks, size)
        checks = comparison.hold(figures, self._gate(name))
        return FormatVerdict(name, path.name, checks, size, **asdict(figures), **asdict(speed))

    def _gate(self, name: str) -> Gate:
        return self._section.gates.get(name, formats()[name].gate)

    def _measured(self, name: str, path: Path) -> tuple[Comparison, Speed]:
        """Raises ExportError where the format gave no answers that could be compared."""
        if name in self._failures:
            raise ExportError(
                f"it was not written: {self._failures[name]}; "
                "running the same command again tries again"
            )
        answers, speed = check(name, path, self._images, self._section)
        self.answers[name] = golden.Answers(answers, speed.runtime)
        margin = self._gate(name).tie_margin or 0.0
        try:
            return comparison.compare(answers, self._keras, self._labels, margin), speed
        except ValueError as error:
            raise ExportError(str(error)) from error

    def verdict(self, rows: tuple[FormatVerdict, ...]) -> Verdict:
        return Verdict(
            test_images=len(self._labels),
            keras_accuracy=float((self._keras.argmax(axis=1) == self._labels).mean()),
            threads=self._section.threads,
            warmup_runs=self._section.warmup_runs,
            timed_runs=self._section.timed_runs,
            formats=rows,
        )


def _stage_result(result: Verdict) -> StageResult:
    """Counts as `failed` the formats that could not be checked, which may pass another time."""
    count = len(result.formats)
    held = "1 format holds its gate" if count == 1 else f"{count} formats hold their gates"
    summary = f"{held} on {result.test_images:,} test images"
    if result.failed:
        names = ", ".join(row.name for row in result.failed)
        summary = f"{len(result.failed)} of {count} formats failed: {names}"
    accuracies = {
        f"{row.name}.accuracy": row.accuracy for row in result.formats if row.accuracy is not None
    }
    counts = {"passed": int(result.passed), "failed": count - len(accuracies)}
    return StageResult(summary, {**accuracies, **counts})
