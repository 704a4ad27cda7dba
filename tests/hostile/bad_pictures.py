"""Files that are left out, counted and listed, while those beside them are used."""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.data.images.picture_files import GREY, RGB, png, saved
from tests.hostile.photos import PICTURE
from tests.hostile.row import MEGABYTE, deflated_zeros

WHOLE = saved(PICTURE, "PNG")
JPEG = saved(PICTURE, "JPEG")
ROWS = [bytes(range(36))] * 12


@dataclass(frozen=True)
class Refused:
    """A file that must be left out.

    Attributes:
        name: of the file.
        make: puts it at the place that it is given.
        kind: under which `quarantine.csv` lists it.
        reason: how the words begin that stand there.
    """

    name: str
    make: Callable[[Path], object]
    kind: str
    reason: str


def of_bytes(name, content, kind, reason):
    return Refused(name, lambda path: path.write_bytes(content), kind, reason)


def link(target, reason):
    return Refused("x.png", lambda path: path.symlink_to(target), "unreadable", reason)


def into_link(path):
    """A file in a folder that is a link to outside."""
    outside = path.parents[2] / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(WHOLE)
    path.symlink_to(outside / "secret.png")


def not_text(path):
    (path.parent / "0.png").rename(path)


def sparse(path):
    path.write_bytes(WHOLE)
    os.truncate(path, 2**27 + 1)


def with_chunk(kind, data):
    return png((12, 12), 8, RGB, ROWS, (kind, data))


def zlib_zeros(size_bytes):
    """A zlib stream of zeros whose checksum is never reached."""
    return b"\x78\xda" + deflated_zeros(size_bytes)


def animation(kind, frames):
    first, *others = [Image.new("RGB", (2, 2), (n % 256, n // 256, 9)) for n in range(frames)]
    return saved(first, kind, save_all=True, append_images=others, lossless=True)


def jpeg_of(width, height):
    content = bytearray(saved(Image.new("L", (8, 8)), "JPEG"))
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, height, width)
    return bytes(content)


def pixel_bomb():
    """60,000×60,000 pixels of one bit, 3.6 billion of them, packed as small as they get."""
    pixels = b"\x78\xda" + deflated_zeros(440 * MEGABYTE)

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 60000, 60000, 1, GREY, 0, 0, 0)
    return WHOLE[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


KINDS = {
    "a link to outside": Refused("x.png", into_link, "unreadable", "leads out of the data"),
    "a link to a file of the system": link("/etc/passwd", "leads out of the data folder"),
    "a link that climbs": link("../../../../../etc/hostname", "leads out of the data folder"),
    "a link to a device": link("/dev/zero", "leads out of the data folder"),
    "a link to nothing": link("nothing.png", "cannot be read (No such file"),
    "a link to itself": link("x.png", "cannot be read (Too many levels"),
    "a link to too long a name": link("a" * 300, "cannot be read (File name too long"),
    "a link to a folder that is gone": Refused(
        "more",
        lambda path: path.symlink_to("gone"),
        "unreadable",
        "cannot be read (No such file",
    ),
    "a FIFO": Refused("x.png", os.mkfifo, "unreadable", "is no regular file"),
    "a name that is no text": Refused(
        "caf\udce9\x1b[2J.png", not_text, "unreadable", "has a name that is not UTF-8"
    ),
    "an empty file": of_bytes("x.png", b"", "empty", "has no bytes"),
    "a PNG cut off": of_bytes("x.png", WHOLE[:-30], "truncated", "ends before its picture"),
    "a JPEG cut off": of_bytes("x.jpg", JPEG[:-30], "truncated", "ends before its picture"),
    "text": of_bytes("x.jpg", b"404 not found\n", "undecodable", "holds no picture"),
    "damage in the middle": of_bytes(
        "x.png", WHOLE[:50] + bytes(12) + WHOLE[62:], "undecodable", "cannot be decoded as PNG"
    ),
    "a wrong extension": of_bytes("x.jpg", WHOLE, "wrong_extension", "is a PNG; rename"),
    "a web page": of_bytes("x.jpg", b"<html>login</html>", "wrong_extension", "is a web page"),
    "a TIFF": of_bytes("x.tiff", saved(PICTURE, "TIFF"), "unsupported", "is a TIFF; convert"),
    "16 bits": of_bytes(
        "x.png", png((1, 1), 16, GREY, [[1, 2]]), "unsupported", "has 16 bits a channel"
    ),
    "CMYK": of_bytes(
        "x.jpg", saved(PICTURE.convert("CMYK"), "JPEG"), "unsupported", "has pixels of the kind"
    ),
    "transparent parts": of_bytes(
        "x.png", saved(Image.new("RGBA", (12, 12)), "PNG"), "unsupported", "has transparent parts"
    ),
    "an animated PNG": of_bytes("x.png", animation("PNG", 3), "animated", "is animated (3"),
    "a WebP of many frames": of_bytes(
        "x.webp", animation("WEBP", 2000), "animated", "is animated (2000 frames)"
    ),
    "a GIF of many frames": of_bytes(
        "x.gif", animation("GIF", 2000), "unsupported", "is a GIF; convert it to PNG"
    ),
    "an animation of four billion frames": of_bytes(
        "x.png",
        with_chunk(b"acTL", struct.pack(">II", 2**31, 0)),
        "animated",
        "is animated (",
    ),
    "a PNG of 60,000×60,000": of_bytes("x.png", pixel_bomb(), "too_large", "has 60,000×60,000"),
    "a JPEG of 60,000×60,000": of_bytes(
        "x.jpg", jpeg_of(60000, 60000), "too_large", "has 60,000×60,000"
    ),
    "a WebP of 16,384×16,384": of_bytes(
        "x.webp",
        b"RIFF\x30\0\0\0WEBPVP8L\x20\0\0\0\x2f\xff\xff\xff\x0f" + bytes(20),
        "too_large",
        "has 16,384×16,384",
    ),
    "128 MB": Refused("x.png", sparse, "too_large", "has 134,217,729 bytes"),
    "a bomb of text": of_bytes(
        "x.png",
        with_chunk(b"zTXt", b"a\0\0" + zlib_zeros(1024 * MEGABYTE)),
        "undecodable",
        "cannot be decoded as PNG",
    ),
    "a bomb of international text": of_bytes(
        "x.png",
        with_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib_zeros(1024 * MEGABYTE)),
        "undecodable",
        "cannot be decoded as PNG",
    ),
    "a bomb of a colour profile": of_bytes(
        "x.png",
        with_chunk(b"iCCP", b"a\0\0" + zlib_zeros(1024 * MEGABYTE)),
        "undecodable",
        "cannot be decoded as PNG",
    ),
}
