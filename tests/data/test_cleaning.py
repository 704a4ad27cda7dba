import numpy as np

from pipeline.data import cleaning
from pipeline.data.profile import profile
from pipeline.sources import LabelledImages


def labelled(values, labels):
    """Images of 2×2 pixels, each filled with one value."""
    images = np.broadcast_to(
        np.array(values, np.uint8)[:, None, None, None], (len(values), 2, 2, 1)
    )
    return LabelledImages(images, np.array(labels, np.int64))


def test_the_median_of_each_square_replaces_its_centre():
    image = np.array([[1, 2, 9], [4, 250, 6], [7, 8, 3]], np.uint8)
    filtered = cleaning.median_filter(image[None, :, :, None], 3)[0, :, :, 0]
    assert filtered[1, 1] == 6  # of 1 2 3 4 6 7 8 9 250
    assert filtered[0, 0] == 2  # mirrored: 1 1 2 1 1 2 4 4 250


def test_images_and_channels_do_not_mix():
    images = np.zeros((2, 5, 5, 2), np.uint8)
    images[1, :, :, 1] = 200
    np.testing.assert_array_equal(cleaning.median_filter(images, 3), images)


def test_a_single_bright_pixel_is_removed():
    image = np.zeros((1, 5, 5, 1), np.uint8)
    image[0, 2, 2] = 255
    assert not cleaning.median_filter(image, 3).any()


def test_the_first_of_equal_images_is_kept():
    data = profile(labelled([7, 3, 7, 3, 5], [1, 0, 1, 0, 1]))
    assert cleaning.unique_indices(data).tolist() == [0, 1, 4]


def test_equal_images_of_different_labels_are_both_kept():
    data = profile(labelled([7, 7, 3, 7], [1, 0, 0, 1]))
    assert cleaning.unique_indices(data).tolist() == [0, 1, 2]


def test_images_that_stand_in_another_split_are_found_whatever_their_label():
    own = profile(labelled([1, 2, 2, 3], [0] * 4))
    other = profile(labelled([2, 9], [1, 1]))
    assert cleaning.not_in(own, other).tolist() == [0, 3]
