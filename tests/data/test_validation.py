from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.data.decode_files import Gathered
from pipeline.data.images.types import LabelledImages
from pipeline.data.validation import refuse_unfit


def part(labels, size=(4, 4, 1), dtype=np.uint8):
    return LabelledImages(np.zeros((len(labels), *size), dtype), np.array(labels, np.int64))


def source(train, test, classes=("a", "b")):
    return Gathered({"train": train, "test": test}, classes, "somewhere")


@pytest.mark.parametrize("channels", [1, 3])
def test_sound_data_pass(channels):
    size = (4, 4, channels)
    refuse_unfit(source(part([0, 1, 1], size), part([1], size), ("a cat", "$a_$")))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (source(part([]), part([0])), "somewhere: training split has no image"),
        (source(part([0, 1]), part([])), "test split has no image"),
        (source(part([0, 1], (0, 4, 1)), part([0], (0, 4, 1))), "training split has no pixels"),
        (source(part([0, 1]), part([0, 2])), r"test split: label 2 at position 1, expected 0\.\.1"),
        (source(part([-1, 1]), part([0])), "training split: label -1 at position 0"),
        (source(part([0, 1]), part([0], (4, 5, 1))), "4×4×1 but test images 4×5×1"),
        (source(part([1, 1]), part([0])), r"class 'a' \(label 0\) has no training image"),
        (
            source(part([0, 1]), part([0], dtype=np.float32)),
            "test split has pixels of type float32, expected uint8",
        ),
        (source(part([0, 1], (4, 4, 4)), part([0])), "images of 4×4×4, expected height×width×1"),
        (source(part([0, 1], (4, 4)), part([0])), "images of 4×4, expected height×width×1"),
    ],
)
def test_unsound_data_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        refuse_unfit(data)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "somewhere: the number of classes is 0, expected 2 or more"),
        (("a",), "somewhere: the number of classes is 1, expected 2 or more"),
        (("a", ""), "label 1 has the class name ''"),
        (("a", " "), "label 1 has the class name ' '"),
        (("a\nb", "c"), r"label 0 has the class name 'a\\nb', expected text without tabs"),
        (("a", "b\r"), r"label 1 has the class name 'b\\r'"),
        (("a", "b\tc"), r"label 1 has the class name 'b\\tc'"),
        (("a", "\x1b[31mb"), r"label 1 has the class name '\\x1b\[31mb'"),
        (
            ("a", "b" * 256),
            r"class name of 256 letters, expected at most 255: 'bbbbbbbbbbbbbbbbbbbb'",
        ),
        (("a", "b\u2028c"), r"label 1 has the class name 'b\\u2028c'"),
        (("a", "b", "a"), "labels 0 and 2 have one class name, 'a'"),
    ],
)
def test_class_names_that_no_list_could_hold_are_refused(classes, message):
    labels = range(len(classes))
    with pytest.raises(DataError, match=message):
        refuse_unfit(source(part(labels), part(labels), classes))


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (part([0, 3]), "validation split: label 3 at position 1"),
        (part([0], (4, 5, 1)), "4×4×1 but validation images 4×5×1"),
    ],
)
def test_a_validation_split_of_the_sources_own_is_checked_too(validation, message):
    data = source(part([0, 1]), part([0]))
    data = replace(data, splits={**data.splits, "validation": validation})
    with pytest.raises(DataError, match=message):
        refuse_unfit(data)
