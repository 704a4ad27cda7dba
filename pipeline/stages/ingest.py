"""Reads images from a source, checks and cleans them, and writes them as TFRecord shards."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.config.schema import DataSection
from pipeline.core.content import sha256
from pipeline.core.errors import DataError
from pipeline.core.text import count_of, times
from pipeline.data import cleaning, dataset_json, files_csv
from pipeline.data.augmentation import preview
from pipeline.data.decode_files import Gathered, SpooledImages
from pipeline.data.image_statistics import Profile
from pipeline.data.images import ink_layout
from pipeline.data.images.stratified import evenly_spread
from pipeline.data.ingest import inspect
from pipeline.data.make_splits import Prepared, Profiled
from pipeline.data.quality import run_checks
from pipeline.data.tfrecords import write_split
from pipeline.workflow.stage import StageContext, StageResult

MOST_FILES_TOLD = 16
MOST_MEASURED = 500


def run(context: StageContext) -> StageResult:
    """Fills the output with shards, `dataset.json`, `checks.json` and `preview.png`.

    Of images from files, `files.csv` tells which they were.

    Raises:
        DataError: the images or labels are wrong, or a check of level `fail` found something.
    """
    # Decoded pixels may be many gigabytes: none stay behind where the data are refused.
    with TemporaryDirectory(dir=context.scratch) as scratch:
        return _run(context, Path(scratch))


def _run(context: StageContext, scratch: Path) -> StageResult:
    config = context.config
    found = inspect(config, scratch, context.progress)
    gathered, prepared = found.material.gathered, found.material.prepared
    run_checks.refuse_failures(found)
    for finding in found.findings:
        context.progress.line(finding.line)
    described = _describe(gathered, prepared, config.data)
    _write(context, prepared)
    _list_files(context.output, prepared)
    dataset_json.write(context.output, described)
    run_checks.write(context.output, found)
    _draw_preview(context, prepared, gathered.classes)
    sizes = {f"{split}_images": len(data) for split, data in prepared.splits.items()}
    return StageResult(_summary(described), {**sizes, "classes": described.num_classes})


def _draw_preview(context: StageContext, prepared: Prepared, classes: tuple[str, ...]) -> None:
    """Shows the first image of each class, as training will see it."""
    config, train = context.config, prepared.splits["train"].images
    indices = preview.shown_indices(train.labels, train.image_shape)
    shown = next(train.select(indices).batches(len(indices)))
    shown = replace(shown, images=_filter(config.data)(shown.images))
    path = context.output / "preview.png"
    preview.draw(path, shown, classes, config.augmentation, config.seed)


def _write(context: StageContext, prepared: Prepared) -> None:
    for split, data in prepared.splits.items():
        change = np.asarray if split == "test" else _filter(context.config.data)
        write_split(context.output, split, data.images, change)


def _list_files(folder: Path, prepared: Prepared) -> None:
    images = {split: data.images for split, data in prepared.splits.items()}
    names = {split: part.names for split, part in images.items() if isinstance(part, SpooledImages)}
    files_csv.write(folder, names)


def _filter(section: DataSection) -> Callable[[np.ndarray], np.ndarray]:
    size = section.median_filter
    return partial(cleaning.median_filter, size=size) if size else np.asarray


def _describe(
    gathered: Gathered, prepared: Prepared, section: DataSection
) -> dataset_json.Description:
    train, decoding = prepared.splits["train"], gathered.decoding
    mean, deviation = _pixel_statistics(train.profile, train.images.image_shape)
    counts = {
        split: _class_counts(data.profile, gathered.classes)
        for split, data in prepared.splits.items()
    }
    height, width, channels = train.images.image_shape
    return dataset_json.Description(
        image_shape=(height, width, channels),
        classes=gathered.classes,
        counts=counts,
        pixel_mean=mean,
        pixel_deviation=deviation,
        origin=gathered.origin,
        source_sha256=_source_sha256(section.outside_files()),
        cleaning=prepared.cleaning,
        fit=decoding.fit if decoding else None,
        alpha=decoding.alpha if decoding else None,
        preparation=_preparation(train, section, from_files=decoding is not None),
    )


def _preparation(
    train: Profiled, section: DataSection, *, from_files: bool
) -> dataset_json.Preparation | None:
    """How ink lies in the training images, if they are that, or are said to be.

    Raises:
        DataError: they are said to be, and are not.
    """
    asked = section.preparation
    layout = None
    if asked != "none" and not from_files and train.images.image_shape[2] == 1:
        some = train.images.select(evenly_spread(len(train), MOST_MEASURED))
        images = next(some.batches(len(some))).images
        layout = ink_layout.measure(images, is_ink=asked == "ink")
    if layout:
        return dataset_json.Preparation(layout.box, layout.centre, layout.middle)
    if asked == "ink":
        raise DataError(
            "data.preparation is ink, and the training images are not grey arrays of ink on an "
            "even ground, dark or light, of at most 128 pixels a side; leave it out"
        )
    return None


def _source_sha256(files: Mapping[str, Path | None]) -> dict[str, str]:
    """Of each file; of many, the manifest has one fingerprint."""
    if len(files) > MOST_FILES_TOLD:
        return {}
    try:
        return {name: sha256(path) for name, path in files.items() if path}
    except OSError as error:
        raise DataError(
            f"{error.filename}: changed while it was read ({error.strerror}). Run again."
        ) from error


def _class_counts(profile: Profile, classes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(np.bincount(profile.labels, minlength=len(classes)).tolist())


def _pixel_statistics(
    profile: Profile, shape: tuple[int, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, from exact sums of whole numbers."""
    count = len(profile) * shape[0] * shape[1]
    mean = profile.sums.sum(axis=0) / count
    squares = profile.squares.sum(axis=0) / count
    return tuple(mean.tolist()), tuple(np.sqrt(squares - mean**2).tolist())


def _summary(described: dataset_json.Description) -> str:
    shape = times(described.image_shape)
    sizes = [f"{described.size(split):,}" for split in ("train", "validation", "test")]
    return (
        f"{sizes[0]} training, {sizes[1]} validation and {sizes[2]} test images "
        f"of {shape} in {described.num_classes:,} classes: {described.classes_line}"
        f"{_dropped(described.cleaning)}"
    )


def _dropped(counts: Mapping[str, int]) -> str:
    count = sum(number for reason, number in counts.items() if reason.endswith("_dropped"))
    return f"; {count_of(count, 'image')} dropped as another stands elsewhere" if count else ""
