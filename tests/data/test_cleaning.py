import numpy as np

from pipeline.data import cleaning


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
    kept = cleaning.unique_indices(np.array([0, 1, 0, 1, 4]), np.array([1, 0, 1, 0, 1]))
    assert kept.tolist() == [0, 1, 4]


def test_equal_images_of_different_labels_are_both_kept():
    kept = cleaning.unique_indices(np.array([0, 0, 2, 0]), np.array([1, 0, 0, 1]))
    assert kept.tolist() == [0, 1, 2]


def test_images_that_stand_in_another_split_are_found():
    assert cleaning.not_in(np.array([0, 1, 1, 3]), np.array([1, 4])).tolist() == [0, 3]
