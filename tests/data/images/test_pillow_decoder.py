"""Pixels of PNG, JPEG, BMP and WebP, against hand-made files and hand-worked values."""

import warnings

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images.decoding import Decoding
from tests.data.images.picture_files import (
    AS_GREY,
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    decoded,
    noise,
    png,
    refusal,
    saved,
)

LOSSLESS = {"PNG": {}, "BMP": {}, "WEBP": {"lossless": True, "exact": True}}


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_stored_exactly_is_read_exactly(kind, channels):
    pixels = noise(5, 7, channels)
    content = saved(Image.fromarray(pixels), kind, **LOSSLESS[kind])
    expected = pixels if channels == 3 else np.dstack([pixels] * 3)
    np.testing.assert_array_equal(decoded(content), expected)


def test_a_jpeg_is_read_as_libjpeg_decodes_it():
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    found = decoded(saved(Image.fromarray(flat), "JPEG", quality=100, subsampling=0))
    assert np.abs(found.astype(int) - flat).max() <= 2


@pytest.mark.parametrize("wanted", ["rgb", "grayscale"])
def test_grey_is_weighed_by_itu_r_601(wanted):
    pixels = noise(16, 16)
    content = saved(Image.fromarray(pixels), "PNG")
    found = decoded(content, Decoding(wanted))
    if wanted == "rgb":
        np.testing.assert_array_equal(found, pixels)
    else:
        luma = pixels @ np.array([0.299, 0.587, 0.114])
        assert found.shape == (16, 16, 1)
        assert np.abs(found[..., 0] - luma).max() <= 0.51


@pytest.mark.parametrize(
    ("bits", "row", "expected"),
    [
        (1, [0b10100000], [255, 0, 255]),
        (2, [0b00011011], [0, 85, 170]),
        (4, [0x0F, 0x70], [0, 255, 119]),
        (8, [9, 200, 33], [9, 200, 33]),
    ],
)
def test_shallow_grey_is_spread_over_all_of_0_to_255(bits, row, expected):
    content = png((1, 3), bits, GREY, [row])
    np.testing.assert_array_equal(decoded(content, AS_GREY)[0, :, 0], expected)
    np.testing.assert_array_equal(decoded(content)[0], np.stack([expected] * 3, axis=1))


@pytest.mark.parametrize(("bits", "row"), [(1, [0b01000000]), (4, [0x01, 0x00]), (8, [0, 1, 0])])
def test_a_palette_is_looked_up(bits, row):
    palette = (b"PLTE", bytes([10, 20, 30, 200, 100, 0]))
    found = decoded(png((1, 3), bits, PALETTE, [row], palette))
    assert found[0].tolist() == [[10, 20, 30], [200, 100, 0], [10, 20, 30]]


def test_grey_of_a_palette_is_that_of_its_colours():
    colours = noise(1, 256, seed=3)
    content = png((1, 256), 8, PALETTE, [range(256)], (b"PLTE", colours.tobytes()))
    direct = decoded(saved(Image.fromarray(colours), "PNG"), AS_GREY)
    np.testing.assert_array_equal(decoded(content, AS_GREY), direct)


TRANSPARENT = {
    "RGBA": png((1, 2), 8, RGBA, [[255, 0, 0, 255, 100, 0, 200, 51]]),
    "palette": png(
        (1, 2), 8, PALETTE, [[0, 1]],
        (b"PLTE", bytes([255, 0, 0, 100, 0, 200])), (b"tRNS", b"\xff\x33"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", TRANSPARENT.values(), ids=TRANSPARENT.keys())
def test_what_shines_through_is_mixed_with_the_paper_that_is_named(content):
    """A fifth of (100, 0, 200): on white 255 - (255 - c) / 5, on black c / 5."""
    kind, reason = refusal(content)
    assert (kind, "data.alpha" in reason) == ("unsupported", True)
    white = decoded(content, Decoding(alpha="white"))
    assert white[0].tolist() == [[255, 0, 0], [224, 204, 244]]
    black = decoded(content, Decoding(alpha="black"))
    assert black[0].tolist() == [[255, 0, 0], [20, 0, 40]]


def test_mixing_with_paper_is_rounded_to_the_nearest():
    levels, covers = (grid.astype(np.uint8) for grid in np.mgrid[0:256:5, 0:256:5])
    pixels = np.dstack([levels, levels, levels, covers])
    found = decoded(saved(Image.fromarray(pixels), "PNG"), Decoding(alpha="white"))
    share = covers / 255
    np.testing.assert_allclose(found[..., 0], levels * share + 255 * (1 - share), atol=0.5001)


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key"),
    [
        (1, GREY, [0b10000000], b"\0\1"),
        (2, GREY, [0b10000000], b"\0\2"),
        (4, GREY, [0x70], b"\0\7"),
        (8, GREY, [119, 7], b"\0\x77"),
        (8, RGB, [1, 2, 3, 9, 9, 9], b"\0\1\0\2\0\3"),
    ],
)
def test_one_colour_that_is_declared_transparent_is_transparent(bits, colour, row, key):
    content = png((1, 2), bits, colour, [row], (b"tRNS", key))
    assert refusal(content)[0] == "unsupported"
    assert decoded(content, Decoding(alpha="white"))[0, 0].tolist() == [255] * 3
    assert decoded(content, Decoding(alpha="black"))[0, 0].tolist() == [0] * 3


@pytest.mark.parametrize(
    "content",
    [
        png((1, 2), 8, RGBA, [[1, 2, 3, 255, 4, 5, 6, 255]]),
        png((1, 2), 8, RGB, [[1, 2, 3, 4, 5, 6]], (b"tRNS", b"\0\1\0\1\0\1")),
        saved(Image.frombytes("RGBA", (2, 1), b"\1\2\3\xff\4\5\6\xff"), "WEBP", lossless=True),
    ],
    ids=["PNG", "a transparent colour that is not there", "WebP"],
)  # fmt: skip
def test_alpha_that_covers_all_is_dropped(content):
    assert decoded(content)[0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_opaque_grey_with_alpha_keeps_its_grey():
    content = png((1, 256), 8, GREY_ALPHA, [[v for grey in range(256) for v in (grey, 255)]])
    assert decoded(content, AS_GREY)[0, :, 0].tolist() == list(range(256))


def _turned(upright):
    """By EXIF's number, the stored pixels that show as `upright`."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pictures_are_turned_as_exif_says(orientation, kind):
    upright = noise(3, 5)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(_turned(upright)[orientation])
    options = LOSSLESS[kind]
    content = saved(Image.fromarray(stored), kind, exif=exif, **options)
    np.testing.assert_array_equal(decoded(content), upright)


def test_a_jpeg_is_turned_too():
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(_turned(upright)[6]))
    found = decoded(saved(stored, "JPEG", exif=exif, quality=100))
    assert np.abs(found.astype(int) - upright).max() <= 2


def test_a_photo_with_a_second_picture_behind_it_is_that_photo():
    photo = Image.fromarray(np.full((8, 8, 3), 200, np.uint8))
    content = saved(photo, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert decoded(content, suffix=".jpg").min() >= 198


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".Jpeg", ""])
def test_the_case_of_a_suffix_does_not_count(suffix):
    assert decoded(saved(Image.new("RGB", (8, 8)), "JPEG"), suffix=suffix).shape == (8, 8, 3)


def test_pillow_warns_of_nothing_that_the_user_sees():
    content = png((1, 2), 8, RGB, [[1, 2, 3, 4, 5, 6]], (b"eXIf", b"MM\0*\0\0\0\x08\0\x09\xff"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(content).shape == (1, 2, 3)
