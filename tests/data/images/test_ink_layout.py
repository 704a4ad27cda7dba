"""Training images tell by themselves whether they are ink, and how it lies in them."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.data.images.ink_layout import measure


@pytest.fixture(scope="module")
def digits():
    """Digits of MNIST's training split: uint8 (100, 28, 28, 1)."""
    file = Path("pipeline/datasets/mnist/train-images-idx3-ubyte.gz")
    with gzip.open(file) as stream:
        return np.frombuffer(stream.read(16 + 100 * 784)[16:], np.uint8).reshape(-1, 28, 28, 1)


def rings(count, side, radius, place):
    """Circles drawn with a thin pen: uint8 (count, side, side, 1)."""
    images = []
    for _ in range(count):
        image = Image.new("L", (side, side))
        box = [place - radius, place - radius, place + radius, place + radius]
        ImageDraw.Draw(image).ellipse(box, outline=255, width=2)
        images.append(np.asarray(image))
    return np.array(images)[..., None]


def test_mnist_is_ink_in_a_box_of_20_pixels_centred_by_its_mass(digits):
    layout = measure(digits)
    assert layout is not None
    assert (layout.box, layout.centre, layout.is_light) == (20, "mass", True)
    assert layout.middle == pytest.approx((28, 29), abs=1)


def test_dark_ink_lies_as_light_ink_does(digits):
    light, dark = measure(digits), measure(255 - digits)
    assert light is not None
    assert dark == light._replace(is_light=False)


def test_where_subjects_lie_is_found_and_not_supposed():
    layout = measure(rings(5, 40, 8, place=14))
    assert layout is not None
    assert layout.box == pytest.approx(17, abs=1)
    assert layout.middle == pytest.approx((29, 29), abs=1)


@pytest.mark.parametrize(
    "images",
    [
        np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8),
        np.zeros((20, 28, 28, 1), np.uint8),
        np.full((20, 28, 28, 1), 128, np.uint8),
        rings(5, 200, 60, place=100),
        rings(5, 6, 2, place=3),
    ],
    ids=["noise", "blank", "grey", "larger than is looked at", "smaller than a stroke"],
)
def test_what_is_no_ink_is_said_to_be_none(images):
    assert measure(images) is None


def test_filled_shapes_are_no_strokes_unless_somebody_says_so():
    image = Image.new("L", (28, 28))
    ImageDraw.Draw(image).rectangle([6, 4, 22, 24], fill=255)
    shapes = np.array([np.asarray(image)] * 5)[..., None]
    assert measure(shapes) is None
    layout = measure(shapes, is_ink=True)
    assert layout is not None
    assert layout.box == 21
