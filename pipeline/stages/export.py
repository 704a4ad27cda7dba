"""export: writes the trained model in every format asked for, with a contract and labels."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.convert import Conversion, convert
from export.deployment import render
from export.formats import contract, failures, quantization_json
from export.formats.contract import Background, Contract, ImageInput
from export.formats.format import (
    ExportRequest,
    Materials,
    chosen_gate,
    chosen_options,
    formats,
    readable_size,
    size_bytes,
    with_needed,
)
from export.formats.tensors import Interface, with_channels
from export.keras_files import load, rgb_input
from pipeline.core import environment
from pipeline.core.errors import ConfigError, ExportError
from pipeline.data import dataset_json
from pipeline.data.dataset_json import Description
from pipeline.data.images.stratified import stratified_sample
from pipeline.data.tfrecords import open_split
from pipeline.workflow.stage import StageContext, StageResult

DARK_BELOW, LIGHT_ABOVE = 64, 191
VALIDATION_IMAGES = 5000


def run(context: StageContext) -> StageResult:
    """Publishes the formats, `contract.json`, `labels.txt`, `runtimes/`, and how int8 was made.

    A format that could not be written is named with the reason in `failures.json`: `verify`
    fails it there, and the others are there to be used.

    Raises:
        ExportError: no format at all could be written.
    """
    is_trusted = context.config.train.trust_model_file
    load.refuse_unasked_trust(context.inputs["train"], is_trusted=is_trusted)
    shutil.rmtree(context.scratch)  # what a killed run left there may be half written
    context.scratch.mkdir()
    dataset, section = dataset_json.read(context.inputs["ingest"]), context.config.export
    shape = _shape(context, dataset)
    interfaces = {
        name: formats()[name].interface(shape, dataset.num_classes, chosen_options(section, name))
        for name in with_needed(section.formats)
    }
    images = with_channels(_calibration_images(context, dataset), shape[2])
    promised = _contract(context, dataset, _input(context, dataset, images), interfaces)
    contract.write(promised, context.output)
    conversions = _convert(context, interfaces, _materials(context, promised, images))
    failed = {name: c.failure for name, c in conversions.items() if c.failure}
    failures.write(failed, context.output)
    if len(failed) == len(conversions):
        raise ExportError(f"no format could be written. {_sentence(failed)}")
    promised = contract.running_from(promised, {n: c.runs_from for n, c in conversions.items()})
    contract.write(promised, context.output)
    written = {name: f for name, f in promised.formats.items() if name not in failed}
    left_out = _render(context, replace(promised, formats=written), images[0])
    tries = quantization_json.gather(context.scratch, written, context.output)
    result = _result(conversions, failed, context.output)
    remarks = (quantization_json.in_words(tries), *left_out)
    return replace(result, summary=". ".join(filter(None, (result.summary, *remarks))))


def _render(context: StageContext, written: Contract, image: np.ndarray) -> list[str]:
    """Writes `runtimes/`; says which examples are left out."""
    render.render(written, context.output)
    left_out = render.render_measured(
        written, context.output, image, context.config.export.timeout_seconds
    )
    return [f"no example for {runtime}: {why}" for runtime, why in left_out.items()]


def _calibration_images(context: StageContext, dataset: Description) -> np.ndarray:
    """Draws the images, and records which ones in `calibration.json`."""
    section, seed = context.config.export.calibration, context.config.seed
    train = open_split(context.inputs["ingest"], "train")
    labels = train.labels()
    # To be blind to classes is to draw from a single one.
    strata = labels if section.sampling == "stratified" else np.zeros_like(labels)
    indices = stratified_sample(strata, section.images, seed)
    counts = np.bincount(labels[indices], minlength=dataset.num_classes)
    calibration = {
        "split": "train",
        "seed": seed,
        "sampling": section.sampling,
        "count_per_class": dict(zip(dataset.classes, counts.tolist(), strict=True)),
        "indices": indices.tolist(),
    }
    (context.output / "calibration.json").write_text(json.dumps(calibration) + "\n", "utf-8")
    return train.read(indices).images


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


def _materials(context: StageContext, promised: Contract, images: np.ndarray) -> Materials:
    workspace = context.scratch.resolve()
    calibration = workspace / "calibration.npy"
    np.save(calibration, images)
    section = context.config.export.calibration
    return Materials(
        _model(context, workspace),
        calibration,
        contract.to_json(promised),
        workspace,
        percentile=section.percentile if section.method == "percentile" else None,
        validation=_validation(context, workspace, promised.input.shape[2]),
        is_trusted=context.config.train.trust_model_file,
    )


def _model(context: StageContext, workspace: Path) -> Path:
    """The file that formats are written from."""
    model = (context.inputs["train"] / load.MODEL).resolve()
    if not context.config.export.rgb_input:
        return model
    is_trusted = context.config.train.trust_model_file
    return rgb_input.publish(model, workspace / "rgb_input", is_trusted=is_trusted)


def _shape(context: StageContext, dataset: Description) -> tuple[int, int, int]:
    """Height, width and channels that each file takes."""
    height, width, channels = dataset.image_shape
    if not context.config.export.rgb_input:
        return height, width, channels
    if channels != 1:
        raise ConfigError(
            f"export.rgb_input: is for grey images, and those of the data have {channels} "
            "channels; leave it out"
        )
    return height, width, rgb_input.CHANNELS


def _validation(context: StageContext, workspace: Path, channels: int) -> Path:
    """Writes validation images, enough to tell a few tenths of a point of accuracy apart."""
    split = open_split(context.inputs["ingest"], "validation")
    seed = context.config.seed
    chosen = split.read(stratified_sample(split.labels(), VALIDATION_IMAGES, seed, "quantization"))
    path = workspace / "validation.npz"
    np.savez(path, images=with_channels(chosen.images, channels), labels=chosen.labels)
    return path


def _convert(
    context: StageContext, interfaces: Mapping[str, Interface], materials: Materials
) -> dict[str, Conversion]:
    """Writes what was asked for into the artifact, and what that needs into the scratch folder."""
    section = context.config.export
    requests = [_request(context, *promised, materials) for promised in interfaces.items()]
    with context.progress.task("exporting", len(requests)) as task:
        conversions = convert(requests, section.timeout_seconds, lambda name: task.advance(1, name))
    return {name: conversions[name] for name in section.formats}


def _request(
    context: StageContext, name: str, promised: Interface, materials: Materials
) -> ExportRequest:
    config = context.config

    def folder(of: str) -> Path:
        asked_for = of in config.export.formats
        return context.output.resolve() if asked_for else materials.workspace

    return ExportRequest(
        format_name=name,
        materials=materials,
        folder=folder(name),
        promised=promised,
        options=chosen_options(context.config.export, name).model_dump(),
        needs={need: folder(need) / formats()[need].path for need in formats()[name].needs},
        max_accuracy_drop_points=chosen_gate(config.verify, name).max_accuracy_drop_points,
    )


def _input(context: StageContext, dataset: Description, images: np.ndarray) -> ImageInput:
    """Of photos, no picture is to be inverted to look like them."""
    around = "mixed" if dataset.fit is not None else background(images)
    prepared = None if around == "mixed" else dataset.preparation
    taken = contract.image_input(
        _shape(context, dataset), around, dataset.fit, dataset.alpha, prepared
    )
    return replace(taken, trained_colour="grey") if context.config.export.rgb_input else taken


def _contract(
    context: StageContext,
    dataset: Description,
    taken: ImageInput,
    interfaces: Mapping[str, Interface],
) -> Contract:
    return Contract(
        input=taken,
        output=contract.output(dataset.classes),
        formats={
            name: contract.of_format(name, interfaces[name])
            for name in context.config.export.formats
        },
        model_key=context.inputs["train"].name,
        data_key=context.inputs["ingest"].name,
        versions=environment.library_versions(),
    )


def _result(
    conversions: Mapping[str, Conversion], failed: Mapping[str, str], folder: Path
) -> StageResult:
    sizes = {
        name: size_bytes(folder / formats()[name].path)
        for name in conversions
        if name not in failed
    }
    shown = [
        f"{readable_size(sizes[name])} ({name})" for name in sorted(sizes, key=sizes.__getitem__)
    ]
    summary = f"{len(sizes)} formats, {shown[0]} to {shown[-1]}"
    if len(sizes) == 1:
        summary = f"1 format, {shown[0]}"
    if failed:
        summary += f"; {len(failed)} failed. {_sentence(failed)}"
    metrics = {f"{name}.size_bytes": size for name, size in sizes.items()}
    may_pass = any(map(failures.may_pass, failed.values()))
    return StageResult(summary, metrics, may_pass=may_pass)


def _sentence(failed: Mapping[str, str]) -> str:
    return ". ".join(f"{name}: {failures.advised(why)}" for name, why in failed.items())
