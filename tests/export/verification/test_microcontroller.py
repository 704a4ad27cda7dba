import numpy as np
import pytest

from export.verification.microcontroller import near_ties, sample


@pytest.mark.parametrize(
    ("total", "count", "indices"),
    [(10, 3, [0, 4, 9]), (4, 4, [0, 1, 2, 3]), (3, 10, [0, 1, 2]), (3, "all", [0, 1, 2])],
)
def test_images_are_taken_evenly_from_all(total, count, indices):
    assert sample(total, count).tolist() == indices


LITERT = np.array([[0.52, 0.48], [0.9, 0.1], [0.52, 0.48]], np.float32)
"""TensorFlow Lite Micro predicts the second class for each of these images."""


def test_a_near_tie_is_one_that_only_faster_kernels_break():
    micro = np.array([1, 1, 1])
    assert near_ties(micro, same_kernels=micro, litert=LITERT, margin=0.05) == 2


def test_the_same_kernels_must_agree():
    micro = np.array([1, 1, 1])
    assert near_ties(micro, same_kernels=np.array([1, 1, 0]), litert=LITERT, margin=0.05) == 1


def test_what_is_no_tie_is_a_difference_whatever_kernels_say():
    micro = np.array([1, 1, 1])
    assert near_ties(micro, same_kernels=micro, litert=LITERT, margin=0.01) == 0
