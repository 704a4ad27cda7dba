"""verify: looks into every file, and asks it about every test image in its user's runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from export.formats import contract, failures, quantization_json, verdict
from export.formats.contract import Contract
from export.formats.format import chosen_gate, chosen_options, formats, size_bytes
from export.formats.tensors import with_channels
from export.formats.verdict import Check, FormatVerdict, Micro, Verdict
from export.verification import audit, gates, golden, measure, microcontroller
from pipeline.core.errors import ExportError, StageError
from pipeline.data import files_csv
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import read_split
from pipeline.evaluation.report import verdict as verdict_page
from pipeline.workflow.stage import StageContext, StageResult

PAGE = "verdict.html"


def run(context: StageContext) -> StageResult:
    """Publishes `verdict.json` with a row for every format asked for, its page, and `golden/`.

    One format is checked after another, so that none disturbs another's times.

    Raises:
        StageError: Keras' answers are not those to the test split.
    """
    promised = contract.read(context.inputs["export"])
    test = read_split(context.inputs["ingest"], "test")
    test = LabelledImages(with_channels(test.images, promised.input.shape[2]), test.labels)
    keras = _keras_answers(context.inputs["evaluate"] / "probabilities.npy", len(test))
    names = context.config.export.formats
    rows = []
    with context.progress.task("verifying", len(names) + 1) as task:
        judge = _Judge(context, test, keras)
        task.advance(1, "what the files hold")
        for name in names:
            rows.append(judge.row(name))
            task.advance(1, name)
    result = judge.verdict(tuple(rows))
    verdict.write(result, context.output / verdict.FILE_NAME)
    chosen = golden.choose(keras, test.labels) if judge.answers else []
    choices = _with_files(chosen, context.inputs["ingest"])
    if choices:
        golden.write(context.output / golden.FOLDER, test, judge.answers, promised, choices)
    _write_page(context, result, promised, test, choices)
    return _stage_result(result)


def _with_files(choices: Sequence[golden.Choice], ingest: Path) -> list[golden.Choice]:
    """Each with the file that it came from, where images came from files."""
    files = files_csv.read(ingest, "test")
    return [replace(choice, file=files[choice.index]) if files else choice for choice in choices]


def _write_page(
    context: StageContext,
    result: Verdict,
    promised: Contract,
    test: LabelledImages,
    choices: Sequence[golden.Choice],
) -> None:
    pictures = [
        verdict_page.GoldenImage(
            test.images[choice.index],
            promised.output.labels[test.labels[choice.index]],
            choice.why,
        )
        for choice in choices
    ]
    records = quantization_json.read(context.inputs["export"])
    name, key = context.config.name, promised.model_key
    subject = verdict_page.Subject(result, records, pictures, name, key)
    page = verdict_page.render(subject, datetime.now(UTC))
    (context.output / PAGE).write_text(page, "utf-8")


def _keras_answers(path: Path, count: int) -> np.ndarray:
    answers = np.load(path)
    if len(answers) != count:
        raise StageError(
            f"{path}: answers to {len(answers):,} images, but the test split has {count:,}; "
            "run again with --force evaluate"
        )
    return answers


class _Judge:
    """Holds what every format is measured against, and the answers of those that passed."""

    def __init__(self, context: StageContext, test: LabelledImages, keras: np.ndarray) -> None:
        self._section = context.config.verify
        self._folder = context.inputs["export"]
        self._failures = failures.read(self._folder)
        self._export = context.config.export
        self._audits = self._audit()
        self._images = context.scratch / "test_images.npy"
        np.save(self._images, test.images)
        self._labels = test.labels
        self._keras = keras
        self.answers: dict[str, golden.Answers] = {}

    def row(self, name: str) -> FormatVerdict:
        path = self._folder / formats()[name].path
        size = size_bytes(path) if path.exists() else None
        seen = self._audits.get(name, audit.Audit(()))
        gate = chosen_gate(self._section, name)
        try:
            if name in self._failures:
                raise ExportError(f"it was not written: {failures.advised(self._failures[name])}")
            answers, speed = measure.ask(name, path, self._images, self._section)
            figures = gates.compare(answers, self._keras, self._labels, gate.tie_margin or 0.0)
            micro = self._micro(name, path, answers)
        except ExportError as error:
            runs = Check(verdict.RUNS, None, None, False, str(error))
            return FormatVerdict(name, path.name, (*seen.checks, runs), size, content=seen.content)
        checks = (
            *seen.checks,
            audit.sums(answers, chosen_options(self._export, name).probability_step),
            *gates.apply_gate(figures, gate),
            *([gates.same_in_micro(micro)] if micro and micro.has_run else ()),
        )
        row = FormatVerdict(
            name,
            path.name,
            checks,
            size,
            **{key: value for key, value in asdict(figures).items() if key != "images"},
            **asdict(speed),
            micro=micro,
            content=seen.content,
        )
        if row.passed:
            self.answers[name] = golden.Answers(answers, speed.runtime)
        return row

    def _audit(self) -> Mapping[str, audit.Audit]:
        options = {
            name: chosen_options(self._export, name)
            for name in self._export.formats
            if (self._folder / formats()[name].path).exists()
        }
        return audit.audit(self._folder, options, self._section.timeout_seconds)

    def _micro(self, name: str, path: Path, answers: np.ndarray) -> Micro | None:
        """What TensorFlow Lite Micro makes of a file for microcontrollers."""
        count = self._section.microcontroller_images
        if "microcontroller" not in formats()[name].targets or count == 0:
            return None
        indices = microcontroller.sample(len(self._labels), count)
        images = self._images.with_name("micro_images.npy")
        np.save(images, np.load(self._images, mmap_mode="r")[indices])
        return microcontroller.compare(
            name, path, images, answers[indices], self._section.timeout_seconds
        )

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
    may_pass = any(row.may_pass for row in result.failed)
    count = len(result.formats)
    held = "1 format holds its gate" if count == 1 else f"{count} formats hold their gates"
    summary = f"{held} on {result.test_images:,} test images"
    if result.failed:
        names = ", ".join(row.name for row in result.failed)
        summary = f"{len(result.failed)} of {count} formats failed: {names}"
    accuracies = {
        f"{row.name}.accuracy": row.accuracy for row in result.formats if row.accuracy is not None
    }
    return StageResult(summary, accuracies, result.passed, may_pass)
