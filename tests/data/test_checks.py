import numpy as np
import pytest

from pipeline.data.checks import check
from pipeline.errors import DataError
from pipeline.sources import LabelledImages, SourceData


def part(labels, size=(4, 4, 1)):
    return LabelledImages(np.zeros((len(labels), *size), np.uint8), np.array(labels, np.int64))


def source(train, test, classes=("a", "b")):
    return SourceData(train, test, classes, "somewhere")


def test_sound_data_pass():
    check(source(part([0, 1, 1]), part([1])))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (source(part([]), part([0])), "somewhere: training split has no pixels"),
        (source(part([0, 1]), part([])), "test split has no pixels"),
        (source(part([0, 1], (0, 4, 1)), part([0], (0, 4, 1))), "training split has no pixels"),
        (source(part([0, 1]), part([0, 2])), r"test split: label 2 at position 1, expected 0\.\.1"),
        (source(part([-1, 1]), part([0])), "training split: label -1 at position 0"),
        (source(part([0, 1]), part([0], (4, 5, 1))), "4×4×1 but test images 4×5×1"),
        (source(part([1, 1]), part([0])), r"class 'a' \(label 0\) has no training image"),
    ],
)
def test_unsound_data_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        check(data)
