"""Makes picture files for tests, byte by byte where Pillow would write them otherwise."""

import io
import struct
import zlib

import numpy as np
import pytest

from pipeline.data.images.decoding import Decoding, RefusedFileError
from pipeline.data.images.pillow_decoder import open_upright, to_pixels

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
AS_GREY = Decoding("grayscale")
AS_IT_IS = Decoding()


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


def decoded(content, decoding=AS_IT_IS, suffix=""):
    return to_pixels(open_upright(content, suffix), decoding)


def refusal(content, decoding=AS_IT_IS, suffix=""):
    with pytest.raises(RefusedFileError) as caught:
        decoded(content, decoding, suffix)
    assert "\n" not in caught.value.reason
    return caught.value.kind, caught.value.reason
