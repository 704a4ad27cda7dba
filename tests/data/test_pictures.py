"""Pixels of PNG, JPEG, BMP and WebP, against hand-made files and hand-worked values."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import picture_bytes, pictures
from pipeline.data.decoding import Decoding, RefusedFileError
from pipeline.data.pictures import central_box, fit_to, open_upright, to_pixels

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
AS_GREY = Decoding("grayscale")


def png(size, bits, colour, rows, *chunks):
    """A PNG of unfiltered rows, bytes each, with chunks before its pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", size[1], size[0], bits, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def decoded(content, decoding=Decoding(), suffix=""):  # noqa: B008
    return to_pixels(open_upright(content, suffix), decoding)


def refusal(content, decoding=Decoding(), suffix=""):  # noqa: B008
    with pytest.raises(RefusedFileError) as caught:
        decoded(content, decoding, suffix)
    assert "\n" not in caught.value.reason
    return caught.value.kind, caught.value.reason


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png((1, 1), 16, GREY, [[1, 2]]), "16 bits a channel"),
        (png((1, 1), 16, RGB, [range(6)]), "16 bits a channel"),
        (png((1, 1), 16, GREY_ALPHA, [range(4)]), "16 bits a channel"),
        (png((1, 1), 16, RGBA, [range(8)]), "16 bits a channel"),
        (saved(Image.new("CMYK", (8, 8)), "JPEG"), "the kind CMYK"),
    ],
    ids=["16-bit grey", "16-bit RGB", "16-bit grey with alpha", "16-bit RGBA", "CMYK"],
)
def test_what_would_be_cut_down_in_silence_is_refused_by_name(content, words):
    kind, reason = refusal(content)
    assert kind == "unsupported"
    assert words in reason


def test_a_jpeg_of_12_bits_is_refused_by_name():
    content = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    assert refusal(bytes(content)) == (
        "unsupported", "has more than 8 bits a channel, expected 8; convert it"
    )  # fmt: skip


def test_run_lengths_are_refused_as_pillow_fills_what_they_lack():
    content = bytearray(saved(Image.new("P", (8, 8)), "BMP"))
    content[30] = 1
    assert refusal(bytes(content))[0] == "unsupported"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_more_than_one_frame_is_animated(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    kind_found, reason = refusal(content)
    assert kind_found == "animated"
    assert "3 frames" in reason


def test_a_photo_with_a_second_picture_behind_it_is_that_photo():
    photo = Image.fromarray(np.full((8, 8, 3), 200, np.uint8))
    content = saved(photo, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert decoded(content, suffix=".jpg").min() >= 198


@pytest.mark.parametrize(
    ("kind", "suffix", "words"),
    [
        ("PNG", ".jpg", "is a PNG; rename it to .png"),
        ("JPEG", ".png", "is a JPEG; rename it to .jpg"),
        ("WEBP", ".JPEG", "is a WebP; rename it to .webp"),
        ("BMP", ".png", "is a BMP; rename it to .bmp"),
        ("GIF", ".png", "is a GIF; convert it to PNG or JPEG"),
        ("TIFF", ".jpg", "is a TIFF; convert it to PNG or JPEG"),
        ("JPEG", ".jfif", "is a JPEG; rename it to .jpg"),
    ],
)
def test_a_suffix_that_says_otherwise_is_refused(kind, suffix, words):
    assert refusal(saved(Image.new("RGB", (8, 8)), kind), suffix=suffix) == (
        "wrong_extension",
        words,
    )


@pytest.mark.parametrize(
    ("content", "suffix", "kind", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", ".jpg", "wrong_extension", "is a HEIC picture; convert"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", ".HEIC", "unsupported", "is a HEIC picture; convert"),
        (b"\n<!DOCTYPE html><html>", ".jpg", "wrong_extension", "is a web page"),
        (b"not found", ".jpg", "undecodable", "holds no picture"),
        (b"BMX bikes are fun to ride", ".png", "undecodable", "holds no picture"),
    ],
)
def test_what_is_no_such_picture_is_told(content, suffix, kind, words):
    found = refusal(content, suffix=suffix)
    assert found[0] == kind
    assert found[1].startswith(words)


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg", ".Jpeg", ""])
def test_the_case_of_a_suffix_does_not_count(suffix):
    assert decoded(saved(Image.new("RGB", (8, 8)), "JPEG"), suffix=suffix).shape == (8, 8, 3)


def _with_size(content, at, layout, width, height):
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, width, height)
    return bytes(changed)


BOMBS = {
    "PNG": png((70000, 60000), 1, GREY, [[0]]),
    "JPEG": _with_size(
        saved(Image.new("L", (8, 8)), "JPEG"),
        saved(Image.new("L", (8, 8)), "JPEG").index(b"\xff\xc0") + 5, ">HH", 60000, 60000,
    ),
    "BMP": _with_size(saved(Image.new("RGB", (8, 8)), "BMP"), 18, "<II", 60000, 60000),
    "WebP, lossy": _with_size(saved(Image.new("RGB", (8, 8)), "WEBP"), 26, "<HH", 16000, 16000),
    "WebP, lossless": b"RIFF\x30\0\0\0WEBPVP8L\x20\0\0\0\x2f" + b"\xff" * 24,
    "WebP, extended": b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 24,
}  # fmt: skip


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS.keys())
def test_more_pixels_than_memory_should_hold_are_refused_by_the_header(content):
    kind, reason = refusal(content)
    assert kind == "too_large"
    assert "expected at most 67,108,864 in all; scale it down" in reason


SMALL = Image.fromarray(noise(9, 7))
WHOLE = {
    "PNG": saved(SMALL, "PNG"),
    "JPEG": saved(SMALL, "JPEG"),
    "JPEG, progressive": saved(SMALL, "JPEG", progressive=True),
    "BMP": saved(SMALL, "BMP"),
    "WebP": saved(SMALL, "WEBP", lossless=True),
    "WebP, lossy": saved(SMALL, "WEBP"),
}


@pytest.mark.parametrize("content", WHOLE.values(), ids=WHOLE.keys())
def test_wherever_a_file_is_cut_off_its_picture_is_whole_or_refused(content):
    whole = decoded(content)
    kinds = []
    for length in range(1, len(content)):
        try:
            np.testing.assert_array_equal(decoded(content[:length]), whole)
        except RefusedFileError as refused:
            kinds.append((length, refused.kind))
    assert {kind for length, kind in kinds if length > 40} == {"truncated"}
    assert len(kinds) > len(content) - 24


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WebP"])
def test_damage_in_the_middle_is_undecodable(name):
    content, at = WHOLE[name], {"PNG": 50, "JPEG": 2, "WebP": 20}[name]
    assert refusal(content[:at] + bytes(12) + content[at + 12 :])[0] == "undecodable"


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(list(picture_bytes.SIGNATURES)), st.booleans())
def test_no_bytes_raise_anything_but_a_refusal(content, name, begins_right):
    heads = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "BMP": b"BM", "WebP": b"RIFF"}
    attempt(heads[name] + content if begins_right else content)


@settings(max_examples=250)
@given(
    st.sampled_from(list(WHOLE.values())),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=6)), min_size=1, max_size=4),
)
def test_no_change_to_a_picture_raises_anything_but_a_refusal(content, changes):
    for place, new in changes:
        at = place % len(content)
        content = content[:at] + new + content[at + len(new) :]
    attempt(content)


def attempt(content):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = decoded(content, Decoding(image_size=(4, 4)), ".png")
        except RefusedFileError:
            return
    assert (found.dtype, found.shape) == (np.uint8, (4, 4, 3))


def test_pillow_warns_of_nothing_that_the_user_sees():
    content = png((1, 2), 8, RGB, [[1, 2, 3, 4, 5, 6]], (b"eXIf", b"MM\0*\0\0\0\x08\0\x09\xff"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(content).shape == (1, 2, 3)


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


def test_readers_are_there_for_all_formats():
    assert pictures.READERS.keys() == picture_bytes.SUFFIXES_OF.keys()
