"""What the bytes of a picture file say by themselves: its format, its depth, a missing end."""

import re
import struct

from pipeline.data.images.decoding import SUFFIXES, RefusedFileError

SUFFIXES_OF = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "WebP": (".webp",),
}
SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "WebP": rb"RIFF.{4}WEBP",
}
FOREIGN = {
    "a GIF": rb"GIF8[79]a",
    "a TIFF": rb"II[*+]\0|MM\0[*+]",
    "a HEIC picture": rb".{4}ftyp(hei[cxms]|hev[cx]|mif1|msf1)",
    "an AVIF picture": rb".{4}ftypavi[fs]",
    "a JPEG 2000 picture": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "a JPEG XL picture": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "a Photoshop file": rb"8BPS",
    "a PDF": rb"%PDF-",
    "a web page": rb"(?i:\s*<(!doctype html|html|head))",
    "an SVG drawing": rb"(?i:\s*<(\?xml|svg))",
}
HEADS = {name: re.compile(head, re.DOTALL) for name, head in {**SIGNATURES, **FOREIGN}.items()}
OF_SEVERAL = {"a GIF": "frame", "a TIFF": "page", "a PDF": "page"}
RUN_LENGTHS = (1, 2)


def format_of(content: bytes, suffix: str) -> str:
    """PNG, JPEG, BMP or WebP.

    Args:
        content: all bytes of the file.
        suffix: of its name; where there is one, it must be that of the format.

    Raises:
        RefusedFileError: it is something else, or the suffix says something else.
    """
    found = _kind(content)
    if found is None:
        raise RefusedFileError(
            "undecodable", "holds no picture (PNG, JPEG, BMP or WebP); save it again, or drop it"
        )
    if found in FOREIGN:
        reason = f"is {found}; {remedy_of(found)}"
        if suffix.lower() in SUFFIXES:
            raise RefusedFileError("wrong_extension", reason)
        raise RefusedFileError("unsupported", reason)
    if suffix and suffix.lower() not in SUFFIXES_OF[found]:
        right = SUFFIXES_OF[found][0]
        raise RefusedFileError("wrong_extension", f"is a {found}; rename it to {right}")
    return found


def _kind(content: bytes) -> str | None:
    return next((name for name, head in HEADS.items() if head.match(content)), None)


def foreign_kind(head: bytes) -> str | None:
    """Such as `a GIF`, by a file's first bytes; None of what is read, and of what says nothing."""
    found = _kind(head)
    return found if found in FOREIGN else None


def remedy_of(kind: str) -> str:
    """What to do with a picture of a kind that is not read."""
    part = OF_SEVERAL.get(kind)
    return "convert it to PNG or JPEG" + (
        f", of several {part}s the one that counts" if part else ""
    )


def refuse_unsupported(content: bytes, found: str) -> None:
    """Refuses what Pillow would change in silence.

    Raises:
        RefusedFileError: it has 16 bits a channel, or is a BMP with run lengths.
    """
    if found == "PNG" and png_bits(content) == 16:
        raise RefusedFileError(
            "unsupported", "has 16 bits a channel, expected 8; save it with 8 bits a channel"
        )
    if found == "BMP" and int.from_bytes(content[30:34], "little") in RUN_LENGTHS:
        raise RefusedFileError(
            "unsupported", "is compressed by run lengths; save it as PNG, or as BMP without"
        )


def png_bits(content: bytes) -> int:
    """Bits a sample, as its header says."""
    return content[24] if len(content) > 24 else 0


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height, as its header says; zeros where that is cut off or unknown."""
    kind, head = content[12:16], content[20:30].ljust(10, b"\0")
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (at & 0x3FFF for at in struct.unpack_from("<HH", head, 6))
    return width, height


def is_cut_off(content: bytes, found: str) -> bool:
    """Whether a picture that cannot be decoded lacks its end."""
    if found == "PNG":
        return _png_is_cut_off(content)
    if found == "JPEG":
        return _jpeg_is_cut_off(content)
    promised = int.from_bytes(content[2:6], "little")
    if found == "WebP":
        promised = int.from_bytes(content[4:8], "little") + 8
    return len(content) < promised


def _png_is_cut_off(content: bytes) -> bool:
    at = 8
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"IEND":
            return False
        at += 12 + length
    return True


def _jpeg_is_cut_off(content: bytes) -> bool:
    """Whether a segment runs over the end, or no end of the picture comes after its beginning."""
    at = 2
    while at + 4 <= len(content):
        marker, length = struct.unpack_from(">HH", content, at)
        if marker >> 8 != 0xFF:
            return False
        at += 2 + length
        if marker == 0xFFDA:
            return content.find(b"\xff\xd9", at) < 0
    return True
