"""Ink is found wherever it lies on a picture, whatever the light, and laid out as MNIST is."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images.ink import Layout, polarity, prepare

MNIST = Layout(28, 28, 20, "mass", (29, 29))
DIGITS = 40


@pytest.fixture(scope="module")
def digits():
    """Digits of MNIST's test split: uint8 (count, 28, 28)."""
    file = Path("pipeline/datasets/mnist/t10k-images-idx3-ubyte.gz")
    return np.frombuffer(gzip.decompress(file.read_bytes())[16:], np.uint8).reshape(-1, 28, 28)


def on_paper(digit, side=100, corner=(40, 130), size=(240, 320), paper=220, pen=60):
    """The digit in dark ink on light paper, on which the light falls off to the right."""
    ink = np.zeros(size)
    scaled = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))
    top, left = corner
    ink[top : top + side, left : left + side] = scaled / 255
    light = np.linspace(1.1, 0.6, size[1])
    grain = np.random.default_rng(1).normal(0, 3, size)
    return (((paper * (1 - ink) + pen * ink) * light) + grain).clip(0, 255).astype(np.uint8)


def difference(first, second):
    """The mean of how far pixels lie apart."""
    return np.abs(first.astype(int) - second).mean()


def test_a_digit_that_lies_as_in_training_stays_as_it_is(digits):
    dark = MNIST._replace(is_light=False)
    for digit in digits[:DIGITS]:
        assert np.array_equal(prepare(digit, MNIST)[0], digit)
        assert np.array_equal(prepare(255 - digit, dark)[0], 255 - digit)


def test_a_digit_that_lies_elsewhere_comes_to_where_it_was(digits):
    for move in (lambda digit: np.roll(digit, (-2, 2), (0, 1)), lambda digit: np.pad(digit, 10)):
        apart = [difference(prepare(move(digit), MNIST)[0], digit) for digit in digits[:DIGITS]]
        assert np.median(apart) < 16
        assert np.mean(np.array(apart) < 25) > 0.9


@pytest.mark.parametrize("corner", [(5, 5), (130, 210), (70, 110)])
@pytest.mark.parametrize("side", [70, 100])
def test_a_digit_on_a_sheet_becomes_what_it_was_drawn_from(digits, side, corner):
    for digit in digits[:10]:
        image, is_dark = prepare(on_paper(digit, side, corner), MNIST)
        assert is_dark
        assert difference(image, digit) < 24


def test_a_digit_in_chalk_is_read_as_one_in_ink(digits):
    for digit in digits[:10]:
        dark = on_paper(digit)
        (image, is_dark), (again, is_dark_again) = prepare(dark, MNIST), prepare(255 - dark, MNIST)
        assert (is_dark, is_dark_again) == (True, False)
        assert difference(image, again) < 1


def test_a_digit_that_fills_its_picture_is_told_from_its_ground(digits):
    wrong = 0  # a thick upright 1 is more ink than ground, and nothing tells which is which
    for digit in digits[:DIGITS]:
        rows, columns = np.nonzero(digit > 64)
        tight = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        wrong += polarity(tight)[0] or not polarity(255 - tight)[0]
    assert wrong <= 2


def test_a_table_beneath_the_paper_is_no_ink(digits):
    for digit in digits[:10]:
        sheet = on_paper(digit)
        sheet[:12] = 20
        sheet[:, :10] = 250
        image, is_dark = prepare(sheet, MNIST)
        assert is_dark
        assert difference(image, digit) < 24


def test_parts_of_neighbours_leave_a_digit_where_it_was_cut_out(digits):
    """Its box would reach from edge to edge: the picture itself is the box, a fifth larger."""
    cut = digits[0][4:24, 4:24].copy()
    cut[8:12, :] = 200
    image, _ = prepare(cut, MNIST)
    inked = np.flatnonzero(image[13] > 100)
    assert (inked[0], inked[-1]) == (2, 25)  # 24 pixels, where a box would have been given 20


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_sheet_is_empty(level):
    image, _ = prepare(np.full((90, 120), level, np.uint8), MNIST)
    assert not image.any()


def test_grain_alone_is_not_stretched_to_ink():
    grain = np.random.default_rng(2).integers(200, 203, (60, 60)).astype(np.uint8)
    assert prepare(grain, MNIST)[0].max() < 255


@pytest.mark.parametrize(
    ("height", "width"), [*itertools.product((1, 2, 63, 64, 700), repeat=2), (5000, 3), (7, 4097)]
)
def test_a_picture_of_any_size_is_brought_to_the_models(height, width):
    noise = np.random.default_rng(3).integers(0, 256, (height, width)).astype(np.uint8)
    image, _ = prepare(noise, Layout(24, 32, 20, "box", (24, 32)))
    assert (image.shape, image.dtype) == ((24, 32), np.uint8)


def test_a_dark_subject_on_light_ground_is_what_such_a_model_gets(digits):
    sheet = on_paper(digits[0])
    light, _ = prepare(sheet, MNIST)
    dark, _ = prepare(sheet, MNIST._replace(is_light=False))
    assert np.array_equal(dark, 255 - light)


def test_the_box_or_the_mass_comes_to_the_middle():
    """A hook: its mass lies to the lower left, its box in the middle of the picture."""
    hook = np.zeros((40, 40), np.uint8)
    hook[8:32, 8:14] = hook[26:32, 8:32] = 255
    by_box, _ = prepare(hook, MNIST._replace(centre="box", middle=(28, 28)))
    by_mass, _ = prepare(hook, MNIST)
    rows, columns = np.nonzero(by_box > 128)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 4, 23)
    weight = by_mass / by_mass.sum()
    middle = [(weight.sum(axis) * (np.arange(28) + 0.5)).sum() for axis in (0, 1)]
    assert middle == pytest.approx([14.5, 14.5], abs=0.5)


def test_what_is_said_of_the_ink_is_believed(digits):
    image, is_dark = prepare(digits[0], MNIST, is_dark=True)
    assert is_dark
    assert difference(image, digits[0]) > 25
