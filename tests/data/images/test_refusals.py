"""Which pictures are refused, under which kind, with which words."""

import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.images import pillow_decoder, signatures
from pipeline.data.images.decoding import Decoding, RefusedFileError
from tests.data.images.picture_files import (
    GREY,
    GREY_ALPHA,
    RGB,
    RGBA,
    decoded,
    noise,
    png,
    refusal,
    saved,
)


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


@pytest.mark.parametrize(
    ("kind", "suffix", "words"),
    [
        ("PNG", ".jpg", "is a PNG; rename it to .png"),
        ("JPEG", ".png", "is a JPEG; rename it to .jpg"),
        ("WEBP", ".JPEG", "is a WebP; rename it to .webp"),
        ("BMP", ".png", "is a BMP; rename it to .bmp"),
        (
            "GIF",
            ".png",
            "is a GIF; convert it to PNG or JPEG, of several frames the one that counts",
        ),
        (
            "TIFF",
            ".jpg",
            "is a TIFF; convert it to PNG or JPEG, of several pages the one that counts",
        ),
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
@given(st.binary(max_size=300), st.sampled_from(list(signatures.SIGNATURES)), st.booleans())
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


def test_readers_are_there_for_all_formats():
    assert pillow_decoder.READERS.keys() == signatures.SUFFIXES_OF.keys()
