"""export: writes the trained model in every format asked for, with a contract and labels."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export import contract
from export.contract import Background, Contract
from export.conversion import Conversion, convert
from export.formats import ExportRequest, formats, readable_size, size_bytes, with_needed
from pipeline import environment
from pipeline.data import description
from pipeline.data.description import Description
from pipeline.data.records import read_split
from pipeline.data.splits import stratified_sample
from pipeline.errors import ExportError
from pipeline.stages import StageContext, StageResult

DARK_BELOW, LIGHT_ABOVE = 64, 191


def run(context: StageContext) -> StageResult:
    """Publishes the formats, `contract.json`, `labels.txt` and `calibration.json`.

    A format that could not be written is named with the reason in the contract: `verify` fails
    it there, and the others are there to be used.

    Raises:
        ExportError: no format at all could be written.
    """
    shutil.rmtree(context.scratch)  # what a killed run left there may be half written
    context.scratch.mkdir()
    dataset = description.read(context.inputs["ingest"])
    images = _calibration_images(context, dataset)
    calibration = context.scratch / "calibration.npy"
    np.save(calibration, images)
    conversions = _convert(context, dataset, calibration)
    failures = {name: c.failure for name, c in conversions.items() if c.failure}
    if len(failures) == len(conversions):
        raise ExportError(f"no format could be written. {_sentence(failures)}")
    contract.write(_contract(context, dataset, background(images), conversions), context.output)
    return _result(conversions, failures, context.output)


def _calibration_images(context: StageContext, dataset: Description) -> np.ndarray:
    """Draws the images, and records which ones in `calibration.json`."""
    config = context.config
    train = read_split(context.inputs["ingest"], "train")
    indices = stratified_sample(train.labels, config.export.calibration_images, config.seed)
    counts = np.bincount(train.labels[indices], minlength=dataset.num_classes)
    record = {
        "split": "train",
        "seed": config.seed,
        "count_per_class": dict(zip(dataset.classes, counts.tolist(), strict=True)),
        "indices": indices.tolist(),
    }
    (context.output / "calibration.json").write_text(json.dumps(record) + "\n", "utf-8")
    return train.images[indices]


def background(images: np.ndarray) -> Background:
    """What surrounds the subject: whether the median pixel of the outermost ring is dark.

    Args:
        images: uint8 (count, height, width, channels).
    """
    rows, columns = images[:, [0, -1]], images[:, 1:-1, [0, -1]]
    level = np.median(np.concatenate([rows.ravel(), columns.ravel()]))
    if level < DARK_BELOW:
        return "dark"
    return "light" if level > LIGHT_ABOVE else "mixed"


def _convert(
    context: StageContext, dataset: Description, calibration: Path
) -> dict[str, Conversion]:
    """Writes what was asked for into the artifact, and what that needs into the scratch folder."""
    section = context.config.export
    names = with_needed(section.formats)
    requests = [_request(context, dataset, name, calibration) for name in names]
    with context.progress.task("exporting", len(names)) as task:
        conversions = convert(requests, section.timeout_seconds, lambda name: task.advance(1, name))
    return {name: conversions[name] for name in section.formats}


def _request(
    context: StageContext, dataset: Description, name: str, calibration: Path
) -> ExportRequest:
    def folder(of: str) -> Path:
        asked_for = of in context.config.export.formats
        return (context.output if asked_for else context.scratch).resolve()

    format_ = formats()[name]
    options = getattr(context.config.export, name, format_.options())
    return ExportRequest(
        format_name=name,
        model=(context.inputs["train"] / "model.keras").resolve(),
        folder=folder(name),
        calibration=calibration.resolve(),
        promised=format_.interface(dataset.image_shape, dataset.num_classes),
        workspace=context.scratch.resolve(),
        options=options.model_dump(),
        needs={need: folder(need) / formats()[need].path for need in format_.needs},
    )


def _contract(
    context: StageContext,
    dataset: Description,
    training_background: Background,
    conversions: Mapping[str, Conversion],
) -> Contract:
    return Contract(
        input=contract.image_input(dataset.image_shape, training_background),
        output=contract.output(dataset.classes),
        formats={
            name: contract.of_format(name, conversion.interface)
            for name, conversion in conversions.items()
            if conversion.interface
        },
        failures={name: c.failure for name, c in conversions.items() if c.failure},
        model_key=context.inputs["train"].name,
        data_key=context.inputs["ingest"].name,
        versions=environment.library_versions(),
    )


def _result(
    conversions: Mapping[str, Conversion], failures: Mapping[str, str], folder: Path
) -> StageResult:
    sizes = {
        name: size_bytes(folder / formats()[name].path)
        for name in conversions
        if name not in failures
    }
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    summary = (
        f"{len(sizes)} format{'s' * (len(sizes) > 1)}, {readable_size(sizes[least])} ({least}) to "
        f"{readable_size(sizes[most])} ({most})"
    )
    if failures:
        summary += f"; {len(failures)} failed. {_sentence(failures)}"
    metrics = {f"{name}.size_bytes": size for name, size in sizes.items()}
    return StageResult(summary, {**metrics, "failed": len(failures)})


def _sentence(failures: Mapping[str, str]) -> str:
    reasons = ". ".join(f"{name}: {why}" for name, why in failures.items())
    return f"{reasons}. Running the same command again tries again."
