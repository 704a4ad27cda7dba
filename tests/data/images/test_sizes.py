"""How pictures come to one size, against hand-worked values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.images.decoding import Decoding
from pipeline.data.images.pillow_decoder import central_box, fit_to, to_pixels
from tests.data.images.picture_files import noise


def resized(pixels, size, fit):
    return to_pixels(Image.fromarray(pixels), Decoding(image_size=size, fit=fit))


def test_a_picture_of_the_right_size_keeps_its_pixels():
    pixels = noise(6, 9)
    for fit in ("stretch", "letterbox", "crop"):
        np.testing.assert_array_equal(resized(pixels, (6, 9), fit), pixels)


def test_shrinking_averages_by_the_triangle_filter():
    """A third of the size: weights 1, 2, 3, 2, 1 around the middle, less what lies outside."""
    row = np.array([0, 0, 80, 0, 0, 0, 0, 0, 0], np.uint8)
    pixels = np.dstack([np.tile(row, (9, 1))] * 3)
    found = resized(pixels, (3, 3), "stretch")[0, :, 0]
    assert found.tolist() == [80 * 2 // 8, round(80 / 9), 0]


def test_stretching_ignores_proportions():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 200
    found = resized(pixels, (8, 2), "stretch")
    # Weights 5, 7, 7, 5, 3 and 1, the last two of which lie in the other half.
    assert found[:, :, 0].tolist() == [[round(200 * 4 / 28), round(200 * 24 / 28)]] * 8


@pytest.mark.parametrize(
    ("size", "wanted", "rows", "columns"),
    [
        ((10, 20), (8, 8), (2, 6), (0, 8)),  # 8 columns and 4 rows, in the middle
        ((20, 10), (8, 8), (0, 8), (2, 6)),
        ((10, 30), (8, 8), (2, 5), (0, 8)),  # 2.67 rows are 3, and 5 are left: 2 above, 3 below
        ((30, 10), (8, 8), (0, 8), (2, 5)),
        ((1, 900), (8, 8), (3, 4), (0, 8)),  # less than a row is one
    ],
)
def test_a_letterbox_keeps_proportions_and_leaves_the_rest_black(size, wanted, rows, columns):
    found = resized(np.full((*size, 3), 255, np.uint8), wanted, "letterbox")
    expected = np.zeros((*wanted, 3), np.uint8)
    expected[slice(*rows), slice(*columns)] = 255
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("size", "proportions", "box"),
    [
        ((20, 10), (8, 8), (5, 0, 15, 10)),
        ((10, 20), (8, 8), (0, 5, 10, 15)),
        ((11, 10), (8, 8), (0, 0, 10, 10)),
        ((30, 20), (3, 2), (0, 0, 30, 20)),
        ((10, 40), (2, 1), (0, 17, 10, 22)),
        ((20, 11), (1, 2), (7, 0, 13, 11)),  # half of 11 is 5.5, which is 6
        ((1, 900), (9, 1), (0, 449, 1, 450)),
    ],
)
def test_a_crop_takes_the_largest_central_part(size, proportions, box):
    assert central_box(size, proportions) == box


def test_a_crop_of_whole_pixels_is_exact():
    pixels = noise(6, 14)
    np.testing.assert_array_equal(resized(pixels, (6, 6), "crop"), pixels[:, 4:10])


def test_a_crop_scales_only_what_it_keeps():
    pixels = np.full((8, 32, 3), 255, np.uint8)
    pixels[:, 12:20] = 70
    assert set(resized(pixels, (4, 4), "crop").ravel()) == {70}


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.sampled_from(["stretch", "letterbox", "crop"]),
)
def test_every_size_becomes_the_wanted_one(size, wanted, fit):
    image = fit_to(Image.new("L", size, 9), wanted, fit)
    assert (image.height, image.width) == wanted
    assert image.getextrema()[1] == 9
