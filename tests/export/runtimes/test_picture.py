"""The browser's picture.js against Pillow."""

import base64
import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from export.deployment import render
from export.formats.contract import ImageInput, image_input
from export.formats.tensors import with_channels
from pipeline.core.plugins import ROOT
from pipeline.inference.pictures import prepare, read_picture

PREPARE = ROOT / "tests" / "export" / "runtimes" / "browser" / "prepare.mjs"
PICTURE_JS = ROOT / "export" / "runtimes" / "web" / "picture.js"
GREY, COLOUR = ImageInput((12, 10, 1), "grey", "dark"), ImageInput((28, 28, 3), "rgb", "light")
MIXED = ImageInput((28, 28, 1), "grey", "mixed")


def rgba(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)


def opaque(pixels):
    return np.dstack([pixels[..., :3], np.full(pixels.shape[:2], 255, np.uint8)])


def ink(level):
    """Transparent paper with a half-transparent mark."""
    pixels = np.full((40, 40, 4), level, np.uint8)
    pixels[..., 3] = 0
    pixels[10:30, 15:25, 3] = 200
    return pixels


TALL = "over twice as high as wide"
PICTURES = {
    "as large as the input": opaque(rgba(0, 28, 28)),
    "ten times as large": opaque(rgba(1, 280, 280)),
    "wide, and half a pixel to round": opaque(rgba(2, 33, 56)),
    TALL: opaque(rgba(3, 101, 37)),
    "small": opaque(rgba(4, 5, 7)),
    "a sliver": opaque(rgba(5, 2, 300)),
    "one pixel": opaque(rgba(6, 1, 1)),
    "half transparent": rgba(7, 60, 45),
    "dark ink on nothing": ink(10),
    "light ink on nothing": ink(250),
    "nothing at all": np.zeros((30, 30, 4), np.uint8),
    "light": opaque(rgba(8, 90, 80) // 4 + 190),
}


@pytest.fixture(scope="module")
def browser(tool):
    """What picture.js makes of pixels. Without `wanted`, the model.js beside it says what."""
    with subprocess.Popen(
        [tool("node"), str(PREPARE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def prepared(pixels, wanted, script=PICTURE_JS):
            data = base64.b64encode(pixels.tobytes()).decode()
            request = {
                "script": script.as_uri(),
                "rgba": {"width": pixels.shape[1], "height": pixels.shape[0], "data": data},
                "wanted": wanted and in_javascript(wanted),
            }
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield prepared


def in_javascript(wanted):
    height, width, channels = wanted.shape
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "colour": wanted.colour,
        "background": wanted.background,
        "fit": wanted.resize.fit,
        "alpha": wanted.alpha,
    }


def assert_same(answer, name, expected, read_as):
    assert "error" not in answer
    given = np.frombuffer(base64.b64decode(answer["pixels"]), np.uint8)
    # Pillow 13 takes its two passes in the other order there, and rounds between them.
    allowed = 1 if name == TALL else 0
    difference = given.reshape(expected.shape).astype(int) - expected
    assert np.abs(difference).max() <= allowed
    assert answer["readAs"] == read_as


@pytest.mark.parametrize("wanted", [GREY, COLOUR, MIXED], ids=["grey", "colour", "mixed"])
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_prepared_to_the_same_bytes_as_by_pillow(browser, name, wanted):
    expected, read_as = prepare(Image.fromarray(PICTURES[name]), wanted, "auto")
    assert_same(browser(PICTURES[name], wanted), name, expected, read_as)


FITS = [("stretch", "white"), ("letterbox", "black"), ("crop", "white")]


@pytest.mark.parametrize(("fit", "alpha"), FITS)
@pytest.mark.parametrize("colour", ["grayscale", "rgb"])
@pytest.mark.parametrize("name", PICTURES)
def test_photos_are_prepared_to_the_same_bytes_as_for_training(
    browser, tmp_path, name, colour, fit, alpha
):
    wanted = image_input((12, 10, 3 if colour == "rgb" else 1), "mixed", fit, alpha)
    Image.fromarray(PICTURES[name]).save(tmp_path / "photo.png")
    expected, read_as = read_picture(tmp_path / "photo.png", wanted)
    assert_same(browser(PICTURES[name], wanted), name, expected, read_as)


@pytest.mark.parametrize("fit", ["pad", "stretch", "letterbox", "crop"])
def test_of_colour_the_page_makes_grey_first_where_the_model_was_trained_on_it(
    browser, exported, tmp_path, fit
):
    shape = (*exported.contract.input.shape[:2], 3)
    background, alpha = ("light", "contrast") if fit == "pad" else ("mixed", "white")
    wanted = replace(image_input(shape, background, fit, alpha), trained_colour="grey")
    render.render(replace(exported.contract, input=wanted), tmp_path)
    Image.fromarray(PICTURES["ten times as large"]).save(tmp_path / "colour.png")
    grey, read_as = read_picture(tmp_path / "colour.png", wanted.as_trained)
    script = tmp_path / "runtimes" / "web" / "picture.js"
    given = browser(PICTURES["ten times as large"], None, script)
    assert_same(given, fit, with_channels(grey, 3), read_as)


@pytest.mark.parametrize(
    ("size", "fit", "words"),
    [
        ((12, 10), "crop", "as it is"),
        ((24, 20), "crop", "scaled to 10×12"),
        ((24, 24), "crop", "cropped to 10×12"),
        ((24, 24), "letterbox", "with black bars to 10×12"),
        ((24, 24), "stretch", "stretched to 10×12"),
    ],
)
def test_how_a_photo_came_to_its_size_is_told(browser, size, fit, words):
    wanted = image_input((12, 10, 3), "mixed", fit, "white")
    assert browser(opaque(rgba(0, *size)), wanted)["readAs"] == words


def test_transparent_parts_are_refused_as_for_training(browser):
    wanted = image_input((12, 10, 3), "mixed", "crop", "refuse")
    told = browser(PICTURES["half transparent"], wanted)
    assert "This picture has transparent parts" in told["error"]
    assert "error" not in browser(PICTURES["light"], wanted)
