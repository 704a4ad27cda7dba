"""What must hold for images from any source."""

import unicodedata
from collections.abc import Mapping

import numpy as np

from pipeline.core.errors import DataError
from pipeline.core.text import count_of, times
from pipeline.data.decode_files import Gathered
from pipeline.data.image_statistics import Profile
from pipeline.data.images.types import ImageFiles, LabelledImages, SourceData, Split
from pipeline.data.sources._class_names import find_twins, twins_error
from pipeline.data.sources._pixel_range import white_of_scale

LONGEST_NAME = 255
STEERING = ("Cc", "Zl", "Zp", "Cs")  # Unicode's control characters, line ends and halves
WORDS = {"train": "training", "validation": "validation", "test": "test"}


def refuse_source(source: SourceData, *, are_classes_given: bool = False) -> None:
    """Refuses, before any file is decoded, what names and labels alone give away.

    Raises:
        DataError: what `refuse_unfit` says of classes and labels; two classes that nobody named
            have one name but for its spelling; a class has too few images for the splits that
            are drawn.
    """
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    given = {s: p for s, p in parts.items() if isinstance(p, LabelledImages | ImageFiles)}
    labels = {split: part.labels for split, part in given.items()}
    _refuse_classes(source.origin, source.classes)
    if not are_classes_given and (twins := find_twins(source.classes)):
        raise twins_error(source.origin, "classes", twins)
    _refuse_labels(source.origin, labels, source.classes)
    sizes = np.bincount(source.train.labels, minlength=len(source.classes))
    _refuse_missing(source.origin, source.classes, sizes)
    needed = 1 + len(parts) - len(given)
    if (short := np.flatnonzero(sizes < needed)).size:
        count = count_of(sizes[short[0]], "image")
        raise DataError(
            f"{_class(source.origin, source.classes, short[0])} has {count} to train on, expected "
            f"{needed} or more, as {' and '.join(WORDS[s] for s in parts if s not in given)} "
            "take some of them. Add images."
        )


def refuse_unfit(data: Gathered) -> None:
    """Refuses images that no model could be trained or tested on.

    Raises:
        DataError: there are no two classes, or a name of theirs is empty, too long, stands twice
            or breaks a line; a split is empty or no uint8 of one or three channels; the splits
            differ in image shape; a label has no class, or a class has no training image.
    """
    _refuse_classes(data.origin, data.classes)
    labels = {split: part.labels for split, part in data.splits.items()}
    _refuse_labels(data.origin, labels, data.classes)
    for split, part in data.splits.items():
        _refuse_split(f"{data.origin}: {WORDS[split]} split", part)
        _refuse_shape(data, WORDS[split], part)
    sizes = np.bincount(data.splits["train"].labels, minlength=len(data.classes))
    _refuse_wholly_refused(data, sizes)
    _refuse_missing(data.origin, data.classes, sizes)


def refuse_scale(data: Gathered, profiles: Mapping[str, Profile]) -> None:
    """Refuses splits whose pixels are 0..1 or of another scale that is none of 0..255.

    Raises:
        DataError: the pixels of a split are; not if `data.pixel_range` says that they are right.
    """
    for split, profile in profiles.items():
        if white := white_of_scale(profile.highest):
            where = f"{data.origin}: {WORDS[split]} split has pixels from 0 to {white}"
            remedy = (
                f"Set data.pixel_range=[0, {white}] to have {white} for white"
                if data.decoding is None
                else "Save the pictures with 255 for white"
            )
            raise DataError(
                f"{where}, expected 0..255. {remedy}; if they are meant to be so dark, set "
                "data.pixel_range=[0, 255]."
            )


def _refuse_labels(origin: str, labels: Mapping[str, np.ndarray], classes: tuple[str, ...]) -> None:
    for split, part in labels.items():
        where = f"{origin}: {WORDS[split]} split"
        if not len(part):
            raise DataError(f"{where} has no image. Add images to it.")
        wrong = np.flatnonzero((part < 0) | (part >= len(classes)))
        if wrong.size:
            raise DataError(
                f"{where}: label {part[wrong[0]]} at position {wrong[0]:,}, expected "
                f"0..{len(classes) - 1}. Correct the label, or name its class in data.classes."
            )


def _refuse_missing(origin: str, classes: tuple[str, ...], sizes: np.ndarray) -> None:
    if (missing := np.flatnonzero(sizes == 0)).size:
        raise DataError(
            f"{_class(origin, classes, missing[0])} has no training image. Add some, or correct "
            "the labels and class names."
        )


def _refuse_wholly_refused(data: Gathered, sizes: np.ndarray) -> None:
    """Names the class all of whose files were left out, and the first of them."""
    for file in data.refused:
        if file.split == "train" and not sizes[file.label]:
            raise DataError(
                f"{_class(data.origin, data.classes, file.label)} has no training image left: "
                f"all are refused, such as {file.name}, which {file.reason}. Correct them."
            )


def _class(origin: str, classes: tuple[str, ...], label: int) -> str:
    return f"{origin}: class {classes[label]!r} (label {label})"


def _refuse_shape(data: Gathered, split: str, part: Split) -> None:
    expected, found = data.splits["train"].image_shape, part.image_shape
    if found != expected:
        raise DataError(
            f"{data.origin}: training images are {times(expected)} but {split} images "
            f"{times(found)}. Take all splits from one data set."
        )


def _refuse_classes(origin: str, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise DataError(
            f"{origin}: the number of classes is {len(classes)}, expected 2 or more. "
            "Add images of another class."
        )
    firsts: dict[str, int] = {}
    for label, name in enumerate(classes):
        if not name.strip() or any(unicodedata.category(c) in STEERING for c in name):
            raise DataError(
                f"{origin}: label {label} has the class name {name!r}, expected text without "
                "tabs, line breaks and other control characters. Rename the class."
            )
        if len(name) > LONGEST_NAME:
            raise DataError(
                f"{origin}: label {label} has a class name of {len(name):,} letters, expected at "
                f"most {LONGEST_NAME}: {name[:20]!r}…. Rename the class."
            )
        if (first := firsts.setdefault(name, label)) != label:
            raise DataError(
                f"{origin}: labels {first} and {label} have one class name, {name!r}. "
                "Rename one, or join their images."
            )


def _refuse_split(where: str, data: Split) -> None:
    if 0 in data.image_shape:
        shape = (len(data), *data.image_shape)
        raise DataError(f"{where} has no pixels ({times(shape)}). Add images to it.")
    if isinstance(data, LabelledImages) and data.images.dtype != np.uint8:
        raise DataError(
            f"{where} has pixels of type {data.images.dtype}, expected uint8. "
            "Convert them to 0..255 in the source."
        )
    if len(data.image_shape) != 3 or data.image_shape[2] not in (1, 3):
        raise DataError(
            f"{where} has images of {times(data.image_shape)}, expected height×width×1 "
            "or height×width×3. Convert them in the source."
        )
