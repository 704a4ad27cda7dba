import numpy as np
import pytest

from pipeline.data import image_statistics as module
from pipeline.data.image_statistics import profile, thumbnails
from pipeline.data.images.types import LabelledImages


def labelled(images):
    return LabelledImages(images, np.arange(len(images)) % 2)


@pytest.mark.parametrize("shape", [(7, 28, 28, 1), (3, 40, 30, 3), (1, 300, 5, 3)])
def test_sums_are_those_of_whole_numbers(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images[0] = 255
    found = profile(labelled(images))
    values = images.astype(object).reshape(shape[0], -1, shape[3])
    assert found.sums.tolist() == values.sum(axis=1).tolist()
    assert found.squares.tolist() == (values * values).sum(axis=1).tolist()


def test_the_highest_pixel_of_an_image_is_that_of_any_channel():
    images = np.zeros((2, 3, 3, 3), np.uint8)
    images[0, 1, 2, 2], images[1, 0, 0, 0] = 7, 255
    assert profile(labelled(images)).highest.tolist() == [7, 255]


def test_equal_images_and_no_others_have_equal_digests():
    images = np.zeros((4, 3, 3, 1), np.uint8)
    images[1, 2, 2] = 1
    images[3, 2, 2] = 1
    found = profile(labelled(images)).digests
    assert (found[0] == found[2], found[1] == found[3], found[0] == found[1]) == (True, True, False)


def test_images_are_read_in_pieces(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    whole = profile(labelled(images))
    monkeypatch.setattr(module, "BATCH_BYTES", 2 * 16)
    np.testing.assert_array_equal(profile(labelled(images)).thumbnails, whole.thumbnails)
    np.testing.assert_array_equal(profile(labelled(images)).squares, whole.squares)


def test_a_pixel_of_a_thumbnail_is_the_mean_of_what_it_covers():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    blocks = images.reshape(2, 16, 2, 16, 3, 3).mean(axis=(2, 4, 5))
    assert np.abs(thumbnails(images) - blocks).max() <= 0.5 + 1e-3


def test_a_small_image_is_enlarged_without_change_of_its_mean():
    images = np.array([[0, 200], [100, 40]], np.uint8)[None, :, :, None]
    small = thumbnails(images)[0]
    assert small[:8, :8].tolist() == np.zeros((8, 8)).tolist()
    assert small[0, 15] == 200
    assert small.mean() == 85
