"""What must hold for images from any source."""

import numpy as np

from pipeline.errors import DataError
from pipeline.sources import LabelledImages, SourceData


def check(data: SourceData) -> None:
    """Refuses images that no model could be trained or tested on.

    Raises:
        DataError: a split is empty, the splits differ in image shape, a label has no class, or a
            class has no training image.
    """
    for split, part in (("training", data.train), ("test", data.test)):
        _check_split(f"{data.origin}: {split} split", part, data.classes)
    train_shape, test_shape = data.train.images.shape[1:], data.test.images.shape[1:]
    if train_shape != test_shape:
        raise DataError(
            f"{data.origin}: training images are {_times(train_shape)} but test images "
            f"{_times(test_shape)}. Take both splits from one data set."
        )
    sizes = np.bincount(data.train.labels, minlength=len(data.classes))
    if (missing := np.flatnonzero(sizes == 0)).size:
        raise DataError(
            f"{data.origin}: class '{data.classes[missing[0]]}' (label {missing[0]}) has no "
            "training image. Add some, or correct the labels and class names."
        )


def _check_split(where: str, data: LabelledImages, classes: tuple[str, ...]) -> None:
    if not data.images.size:
        raise DataError(f"{where} has no pixels ({_times(data.images.shape)}). Add images to it.")
    wrong = np.flatnonzero((data.labels < 0) | (data.labels >= len(classes)))
    if wrong.size:
        raise DataError(
            f"{where}: label {data.labels[wrong[0]]} at position {wrong[0]:,}, expected "
            f"0..{len(classes) - 1}. Correct the label, or name its class in data.classes."
        )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
