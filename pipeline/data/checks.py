"""What must hold for images from any source."""

import unicodedata

import numpy as np

from pipeline.data.gathering import Gathered
from pipeline.errors import DataError
from pipeline.sources import LabelledImages, Split

LONGEST_NAME = 255
STEERING = ("Cc", "Zl", "Zp", "Cs")  # Unicode's control characters, line ends and halves


def check(data: Gathered) -> None:
    """Refuses images that no model could be trained or tested on.

    Raises:
        DataError: there are no two classes, or a name of theirs is empty, too long, stands twice
            or breaks a line; a split is empty or no uint8 of one or three channels; the splits
            differ in image shape; a label has no class, or a class has no training image.
    """
    _check_classes(data.origin, data.classes)
    for split, part in data.splits.items():
        word = "training" if split == "train" else split
        _check_split(f"{data.origin}: {word} split", part, data.classes)
        _check_shape(data, word, part)
    sizes = np.bincount(data.splits["train"].labels, minlength=len(data.classes))
    if (missing := np.flatnonzero(sizes == 0)).size:
        raise DataError(
            f"{data.origin}: class '{data.classes[missing[0]]}' (label {missing[0]}) has no "
            "training image. Add some, or correct the labels and class names."
        )


def _check_shape(data: Gathered, split: str, part: Split) -> None:
    expected, found = data.splits["train"].image_shape, part.image_shape
    if found != expected:
        raise DataError(
            f"{data.origin}: training images are {_times(expected)} but {split} images "
            f"{_times(found)}. Take all splits from one data set."
        )


def _check_classes(origin: str, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise DataError(
            f"{origin}: the number of classes is {len(classes)}, expected 2 or more. "
            "Add images of another class."
        )
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
        if (first := classes.index(name)) != label:
            raise DataError(
                f"{origin}: labels {first} and {label} have one class name, {name!r}. "
                "Rename one, or join their images."
            )


def _check_split(where: str, data: Split, classes: tuple[str, ...]) -> None:
    if not len(data) or 0 in data.image_shape:
        shape = (len(data), *data.image_shape)
        raise DataError(f"{where} has no pixels ({_times(shape)}). Add images to it.")
    if isinstance(data, LabelledImages) and data.images.dtype != np.uint8:
        raise DataError(
            f"{where} has pixels of type {data.images.dtype}, expected uint8. "
            "Convert them to 0..255 in the source."
        )
    if len(data.image_shape) != 3 or data.image_shape[2] not in (1, 3):
        raise DataError(
            f"{where} has images of {_times(data.image_shape)}, expected height×width×1 "
            "or height×width×3. Convert them in the source."
        )
    wrong = np.flatnonzero((data.labels < 0) | (data.labels >= len(classes)))
    if wrong.size:
        raise DataError(
            f"{where}: label {data.labels[wrong[0]]} at position {wrong[0]:,}, expected "
            f"0..{len(classes) - 1}. Correct the label, or name its class in data.classes."
        )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
