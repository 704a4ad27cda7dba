"""Reads images from a source, checks and cleans them, and writes them as TFRecord shards."""

from dataclasses import replace

import numpy as np

from pipeline import plugins
from pipeline.config import DataSection
from pipeline.data import cleaning, description, preview
from pipeline.data.checks import check
from pipeline.data.records import write_split
from pipeline.data.splits import split_validation, stratified_sample
from pipeline.sources import LabelledImages, SourceData
from pipeline.stages import StageContext, StageResult
from pipeline.store import sha256

Splits = dict[str, LabelledImages]
ALSO_IN_TEST = "also_in_test_kept"


def run(context: StageContext) -> StageResult:
    """Fills the output with shards, `dataset.json` and `preview.png`.

    Raises:
        DataError: the images or labels are wrong.
    """
    config = context.config
    source = plugins.load(plugins.SOURCES, config.data.source).load(config.data)
    check(source)
    splits, counts = _cleaned_splits(source, config.data, config.seed)
    described = _describe(source, splits, config.data, counts)
    for split, data in splits.items():
        write_split(context.output, split, data)
    description.write(context.output, described)
    preview.draw(
        context.output / "preview.png",
        splits["train"],
        source.classes,
        config.augmentation,
        config.seed,
    )
    sizes = {f"{split}_images": len(data) for split, data in splits.items()}
    return StageResult(_summary(described), {**sizes, "classes": described.num_classes})


def _cleaned_splits(
    source: SourceData, section: DataSection, seed: int
) -> tuple[Splits, dict[str, int]]:
    """Cleans training and validation images alone: a test is as good as its images are real."""
    train, counts = source.train, {}
    if section.drop_duplicates:
        kept = cleaning.unique_indices(train)
        counts["duplicates_dropped"] = len(train) - len(kept)
        train = train.select(kept)
        counts["conflicting_labels_kept"] = cleaning.count_conflicts(train)
    splits = _split(replace(source, train=train), section, seed)
    learned_from = [splits["train"], splits["validation"]]
    counts[ALSO_IN_TEST] = sum(cleaning.count_leaked(part, splits["test"]) for part in learned_from)
    if section.median_filter is not None:
        splits |= {s: _filtered(splits[s], section.median_filter) for s in ("train", "validation")}
        counts["training_and_validation_median_filtered"] = sum(map(len, learned_from))
    return splits, counts


def _filtered(data: LabelledImages, size: int) -> LabelledImages:
    return LabelledImages(cleaning.median_filter(data.images, size), data.labels)


def _split(source: SourceData, section: DataSection, seed: int) -> Splits:
    """Keeps the source's own validation split, or draws one from the training images."""
    train = _limited(source.train, section.train_limit, seed, "train_limit")
    validation = source.validation
    if validation is None:
        kept, drawn = split_validation(train.labels, section.validation_fraction, seed)
        train, validation = train.select(kept), train.select(drawn)
    return {
        "train": train,
        "validation": validation,
        "test": _limited(source.test, section.test_limit, seed, "test_limit"),
    }


def _limited(data: LabelledImages, limit: int | None, seed: int, purpose: str) -> LabelledImages:
    if limit is None:
        return data
    return data.select(stratified_sample(data.labels, limit, seed, purpose))


def _describe(
    source: SourceData, splits: Splits, section: DataSection, cleaning_counts: dict[str, int]
) -> description.Description:
    mean, deviation = _pixel_statistics(splits["train"].images)
    return description.Description(
        image_shape=source.train.images.shape[1:],
        classes=source.classes,
        counts={split: _class_counts(data, source.classes) for split, data in splits.items()},
        pixel_mean=mean,
        pixel_deviation=deviation,
        origin=source.origin,
        source_sha256={path.name: sha256(path) for path in section.outside_files()},
        cleaning=cleaning_counts,
    )


def _class_counts(data: LabelledImages, classes: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(np.bincount(data.labels, minlength=len(classes)).tolist())


def _pixel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, from exact sums of whole numbers."""
    count = images[..., 0].size
    mean = images.sum(axis=(0, 1, 2), dtype=np.uint64) / count
    squares = np.einsum("nhwc,nhwc->c", images, images, dtype=np.uint64) / count
    return tuple(mean.tolist()), tuple(np.sqrt(squares - mean**2).tolist())


def _summary(described: description.Description) -> str:
    sizes = [f"{described.size(split):,}" for split in ("train", "validation", "test")]
    shape = "×".join(map(str, described.image_shape))
    return (
        f"{sizes[0]} training, {sizes[1]} validation and {sizes[2]} test images "
        f"of {shape} in {described.num_classes} classes{_leak(described.cleaning[ALSO_IN_TEST])}"
    )


def _leak(count: int) -> str:
    if not count:
        return ""
    images = (
        "1 training image also stands" if count == 1 else f"{count:,} training images also stand"
    )
    return f"; {images} in the test split"
