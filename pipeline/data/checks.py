"""What must hold for images from any source."""

import numpy as np

from pipeline.errors import DataError
from pipeline.sources import LabelledImages, SourceData


def check(data: SourceData) -> None:
    """Refuses images that no model could be trained or tested on.

    Raises:
        DataError: there are no two classes, or a name of theirs is empty, stands twice or breaks
            a line; a split is empty or no uint8 of one or three channels; the splits differ in
            image shape; a label has no class, or a class has no training image.
    """
    _check_classes(data.origin, data.classes)
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    for split, part in splits.items():
        if part is not None:
            _check_split(f"{data.origin}: {split} split", part, data.classes)
            _check_shape(data, split, part)
    sizes = np.bincount(data.train.labels, minlength=len(data.classes))
    if (missing := np.flatnonzero(sizes == 0)).size:
        raise DataError(
            f"{data.origin}: class '{data.classes[missing[0]]}' (label {missing[0]}) has no "
            "training image. Add some, or correct the labels and class names."
        )


def _check_shape(data: SourceData, split: str, part: LabelledImages) -> None:
    expected, found = data.train.images.shape[1:], part.images.shape[1:]
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
        if not name.strip() or name.splitlines() != [name] or "\t" in name:
            raise DataError(
                f"{origin}: label {label} has the class name {name!r}, expected text without "
                "tabs and line breaks. Rename the class."
            )
        if (first := classes.index(name)) != label:
            raise DataError(
                f"{origin}: labels {first} and {label} have one class name, {name!r}. "
                "Rename one, or join their images."
            )


def _check_split(where: str, data: LabelledImages, classes: tuple[str, ...]) -> None:
    if not data.images.size:
        raise DataError(f"{where} has no pixels ({_times(data.images.shape)}). Add images to it.")
    if data.images.dtype != np.uint8:
        raise DataError(
            f"{where} has pixels of type {data.images.dtype}, expected uint8. "
            "Convert them to 0..255 in the source."
        )
    if data.images.ndim != 4 or data.images.shape[3] not in (1, 3):
        raise DataError(
            f"{where} has images of {_times(data.images.shape[1:])}, expected height×width×1 "
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
