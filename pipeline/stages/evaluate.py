"""evaluate: measures the trained model on the test split and writes the report."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from export.keras_files import load
from pipeline.config.schema import AugmentationSection, TrainSection
from pipeline.core.errors import StageError
from pipeline.data import dataset_json, files_csv
from pipeline.data.images.types import LabelledImages
from pipeline.data.quality import thumbnails
from pipeline.data.tfrecords import read_split
from pipeline.evaluation.predict import Views, answers
from pipeline.evaluation.predictions import Predictions, write_csv
from pipeline.evaluation.report import history, provenance, report
from pipeline.evaluation.report.summary import AveragedFigures, Summary, averaged_figures, summarize
from pipeline.workflow.stage import StageContext, StageResult

PREVIEW = "preview.png"
CHECKS = "checks.json"


def run(context: StageContext) -> StageResult:
    """Publishes the report, all figures, and Keras' answers, which verify compares with.

    Raises:
        StageError: the model gives no number for an image.
    """
    config, output = context.config, context.output
    ingest = context.inputs["ingest"]
    test, dataset = read_split(ingest, "test"), dataset_json.read(ingest)
    model = load.load_published(_model_path(context), is_trusted=config.train.trust_model_file)
    predictions = Predictions(test.labels, _probabilities(context, model, test.images))
    averaged = _averaged(context, model, test, predictions)
    summary = summarize(predictions, config.evaluate.calibration_bins, averaged)
    np.save(output / "probabilities.npy", predictions.probabilities)
    files = files_csv.read(ingest, "test")
    write_csv(predictions, dataset.classes, output / "predictions.csv", files)
    _write_json(output / "metrics.json", summary.as_json(dataset.classes))
    page = report.render(
        _evaluation(context, summary, predictions, test.images),
        worst_mistakes=config.evaluate.worst_mistakes,
        made=datetime.now(UTC),
    )
    (output / "report.html").write_text(page, encoding="utf-8")
    return StageResult(_words(summary, config.train), summary.headline())


def _model_path(context: StageContext) -> Path:
    return context.inputs["train"] / load.MODEL


def _probabilities(context: StageContext, model: Any, images: np.ndarray) -> np.ndarray:
    """Those of the images as they are: float32 (count, classes)."""
    with context.progress.task("evaluating", len(images)) as task:
        found = answers(model, images, context.config.evaluate.batch_size, task)
    return _finite(found, context)


def _averaged(
    context: StageContext, model: Any, test: LabelledImages, plain: Predictions
) -> AveragedFigures | None:
    """The figures of the mean of all views' probabilities, or None without other views."""
    section, config = _trained_augmentation(context), context.config
    count, size = config.evaluate.test_time_views, config.evaluate.batch_size
    if count == 1:
        return None
    if not section.moves_pixels:
        context.progress.line("no test-time average: the search chose to move no pixels")
        return None
    views, total = Views(section, config.seed), plain.probabilities.astype(np.float64)
    with context.progress.task(f"averaging over {count} views", (count - 1) * len(test)) as task:
        for number in range(1, count):
            total += answers(model, test.images, size, task, views.change(number))
    mean = _finite((total / count).astype(np.float32), context)
    return averaged_figures(Predictions(test.labels, mean), count)


def _trained_augmentation(context: StageContext) -> AugmentationSection:
    """That of the training, which a search may have chosen."""
    trained = provenance.read_manifest(context.inputs["train"]).get("config", {})
    return AugmentationSection.model_validate_json(json.dumps(trained.get("augmentation", {})))


def _finite(probabilities: np.ndarray, context: StageContext) -> np.ndarray:
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        brought = context.config.train.model_file
        remedy = (
            "bring another model" if brought else "train again with a lower train.learning_rate"
        )
        raise StageError(
            f"{brought or _model_path(context)}: gives no number for {len(broken):,} of "
            f"{len(probabilities):,} test images, first for image {broken[0]}; {remedy}"
        )
    return probabilities


def _evaluation(
    context: StageContext, summary: Summary, predictions: Predictions, images: np.ndarray
) -> report.Evaluation:
    config, ingest = context.config, context.inputs["ingest"]
    dataset = dataset_json.read(ingest)
    preview = ingest / PREVIEW
    return report.Evaluation(
        summary=summary,
        predictions=predictions,
        history=_history(context),
        dataset=report.Dataset(
            classes=dataset.classes,
            counts=dataset.counts,
            images=images,
            files=files_csv.read(ingest, "test"),
            origin=dataset.origin,
            preview=preview.read_bytes() if preview.is_file() else None,
            checks=_checks(ingest),
            alike=thumbnails.read(ingest),
            preparation=dataset.preparation,
        ),
        origin=report.Origin(config.name, _model(context), provenance.facts(context.inputs)),
    )


def _checks(ingest: Path) -> dict[str, Any] | None:
    """What the data's checks found, where the artifact tells."""
    path = ingest / CHECKS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _history(context: StageContext) -> history.History:
    """How training went; of a model that was brought along, nothing is known."""
    if context.config.train.model_file:
        return history.History((), {})
    return history.read(
        context.inputs["train"] / "history.csv", _kept_epoch(context.inputs["train"])
    )


def _kept_epoch(train: Path) -> history.Kept | None:
    """Which epoch's weights the artifact holds, by its manifest."""
    manifest = provenance.read_manifest(train)
    epoch = manifest.get("metrics", {}).get("best_epoch")
    monitor = manifest.get("config", {}).get("train", {}).get("monitor", "val_loss")
    return None if epoch is None else history.Kept(epoch, monitor)


def _model(context: StageContext) -> str:
    """The file that was brought along, or the preset that was trained: a search may choose it."""
    if brought := context.config.train.model_file:
        return brought.name
    manifest, section = provenance.read_manifest(context.inputs["train"]), context.config.train
    preset = manifest.get("config", {}).get("model", {}).get("preset", context.config.model.preset)
    names = ", ".join(section.member_presets or (str(preset),))
    network = f"{section.members} members of {names}" if section.members > 1 else names
    begun_from = manifest.get("metrics", {}).get("begun_from")
    return f"{network}, begun from {begun_from}" if begun_from else network


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _words(summary: Summary, section: TrainSection) -> str:
    low, high = summary.interval
    words = (
        f"accuracy {summary.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}) "
        f"on {summary.test_images:,} test images"
    )
    if averaged := summary.test_time:
        words += f"; {averaged.accuracy:.2%} averaged over {averaged.views} views of each"
    if summary.is_guessing:
        words += f"; no better than naming the most frequent class ({summary.largest_share:.2%})"
        if not section.model_file:
            words += ": train longer, or look at the data with check-data"
    return words
