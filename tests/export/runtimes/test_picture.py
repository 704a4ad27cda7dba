"""The browser's picture.js against Pillow, and its ink.js against NumPy."""

import base64
import gzip
import json
import subprocess
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from export.deployment import render
from export.formats.contract import ImageInput, image_input
from export.formats.tensors import with_channels
from pipeline.core.plugins import ROOT
from pipeline.data.dataset_json import Preparation
from pipeline.inference.pictures import prepare, read_picture

PREPARE = ROOT / "tests" / "export" / "runtimes" / "browser" / "prepare.mjs"
PICTURE_JS = ROOT / "export" / "runtimes" / "web" / "picture.js"
GREY, COLOUR = ImageInput((12, 10, 1), "grey", "dark"), ImageInput((28, 28, 3), "rgb", "light")
MIXED = ImageInput((28, 28, 1), "grey", "mixed")
INK = Preparation(20, "mass", (29, 29))


def rgba(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)


def opaque(pixels):
    return np.dstack([pixels[..., :3], np.full(pixels.shape[:2], 255, np.uint8)])


def mark(level):
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
    "dark ink on nothing": mark(10),
    "light ink on nothing": mark(250),
    "nothing at all": np.zeros((30, 30, 4), np.uint8),
    "light": opaque(rgba(8, 90, 80) // 4 + 190),
}


@pytest.fixture(scope="module")
def browser(tool):
    """What picture.js makes of pixels. Without `wanted`, the model.js beside it says what."""
    with subprocess.Popen(
        [tool("node"), str(PREPARE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def prepared(pixels, wanted, script=PICTURE_JS, ground="auto"):
            data = base64.b64encode(pixels.tobytes()).decode()
            request = {
                "script": script.as_uri(),
                "rgba": {"width": pixels.shape[1], "height": pixels.shape[0], "data": data},
                "wanted": wanted and in_javascript(wanted),
                "ground": ground,
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
        "preparation": wanted.preparation and asdict(wanted.preparation),
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


@pytest.mark.parametrize("fit", ["pad", "stretch", "letterbox", "crop", "ink"])
def test_of_colour_the_page_makes_grey_first_where_the_model_was_trained_on_it(
    browser, exported, tmp_path, fit
):
    shape = (*exported.contract.input.shape[:2], 3)
    if fit == "ink":
        wanted = image_input(shape, "light", preparation=INK)
    else:
        background, alpha = ("light", "contrast") if fit == "pad" else ("mixed", "white")
        wanted = image_input(shape, background, fit, alpha)
    wanted = replace(wanted, trained_colour="grey")
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


def first_digits(count):
    """Of MNIST's test split: uint8 (count, 28, 28)."""
    with gzip.open(ROOT / "pipeline" / "datasets" / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(16 + count * 784)[16:], np.uint8).reshape(-1, 28, 28)


def on_paper(digit, seed):
    """Somewhere on a grainy sheet, on which the light falls off to one side."""
    generator = np.random.default_rng(seed)
    side, (height, width) = generator.integers(24, 160), (240, 320)
    top, left = generator.integers(0, (height - side, width - side))
    strokes = np.zeros((height, width))
    strokes[top : top + side, left : left + side] = Image.fromarray(digit).resize((side, side))
    sheet = (220 - 160 / 255 * strokes) * np.linspace(1.1, 0.6, width)
    return (sheet + generator.normal(0, 3, sheet.shape)).clip(0, 255).astype(np.uint8)


def greys():
    """Pictures by name: uint8 (height, width)."""
    generator = np.random.default_rng(10)
    sizes = (1, 1), (1, 50), (50, 1), (130, 2), (2, 130), (31, 33), (63, 64), (257, 129), (300, 200)
    found = {f"noise {h}x{w}": generator.integers(0, 256, (h, w)) for h, w in sizes}
    found |= {f"blank {level}": np.full((90, 120), level) for level in (0, 128, 255)}
    found["faint"] = generator.integers(200, 203, (60, 60))
    for number, digit in enumerate(first_digits(10)):
        rows, columns = np.nonzero(digit > 64)
        tight = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        found |= {
            f"digit {number}": digit,
            f"digit {number} moved": np.roll(digit, number % 5 - 2, axis=1),
            f"digit {number} made smaller": np.pad(Image.fromarray(digit).resize((24, 24)), 2),
            f"digit {number} cut tight": 255 - tight,
            f"digit {number} on paper": on_paper(digit, number),
            f"digit {number} in chalk": 255 - on_paper(digit, number),
        }
    found["on 48 pixels"], found["on 64 pixels"] = np.pad(digit, 10), np.pad(digit, 18)
    found["beside an edge"] = np.pad(digit, ((10, 10), (16, 16)))
    found["beside an edge"][:, :4] = 250
    found["below a speck"] = np.pad(digit.repeat(3, axis=0).repeat(3, axis=1), 22)
    found["below a speck"][36:39, 62:65] = 150
    return {name: grey.astype(np.uint8) for name, grey in found.items()}


GREYS = greys()
BY_MASS = ImageInput((28, 28, 1), "grey", "dark", preparation=INK)
BY_BOX = ImageInput((24, 31, 1), "grey", "light", preparation=Preparation(17, "box", (23, 33)))
ASKED = (
    (BY_MASS, "auto", "auto"),
    (BY_BOX, "light", "dark_on_light"),
    (BY_BOX, "dark", "light_on_dark"),
)


@pytest.mark.parametrize("name", GREYS)
def test_ink_is_prepared_to_the_same_bytes_as_by_numpy(browser, name):
    for wanted, ground, polarity in ASKED:
        expected, read_as = prepare(Image.fromarray(GREYS[name]), wanted, polarity)
        given = browser(opaque(np.dstack([GREYS[name]] * 3)), wanted, ground=ground)
        assert_same(given, name, expected, read_as)


@pytest.mark.parametrize("name", PICTURES)
def test_ink_on_transparent_paper_and_in_colour_is_prepared_alike(browser, name):
    expected, read_as = prepare(Image.fromarray(PICTURES[name]), BY_MASS, "auto")
    assert_same(browser(PICTURES[name], BY_MASS), name, expected, read_as)
