"""Turns a picture file into pixels of one shape, or says why that would be a guess."""

import os
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MOST_BYTES = 2**27
MOST_PIXELS = 2**26
# A FIFO is not waited for, and a link that was put there meanwhile is not followed.
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

ColorMode = Literal["rgb", "grayscale"]
Fit = Literal["stretch", "letterbox", "crop"]
Alpha = Literal["refuse", "white", "black"]
Kind = Literal[
    "unreadable",
    "empty",
    "truncated",
    "undecodable",
    "animated",
    "wrong_extension",
    "too_large",
    "unsupported",
]


@dataclass(frozen=True)
class Decoding:
    """How files become pixels.

    Attributes:
        color_mode: the channels to make, 3 or 1; grey is the luma of ITU-R 601.
        image_size: height and width; None keeps the file's own.
        fit: how an image of another shape comes to `image_size`: `stretch` ignores its
            proportions, `letterbox` keeps them and leaves the rest black, `crop` keeps them and
            cuts off what is too much on both sides. All average over the pixels that they merge.
        alpha: what lies behind transparent parts; `refuse` takes no image that has any.
    """

    color_mode: ColorMode = "rgb"
    image_size: tuple[int, int] | None = None
    fit: Fit = "stretch"
    alpha: Alpha = "refuse"


@dataclass(frozen=True)
class Decoded:
    """A file's image.

    Attributes:
        pixels: uint8 (height, width, channels).
        file_size: height and width that the file had, the right way up.
    """

    pixels: "np.ndarray"
    file_size: tuple[int, int]


class RefusedFileError(Exception):
    """A file that cannot be used.

    Attributes:
        kind: which of the checks of `data.checks` it falls under.
        reason: why, in words that go on after the file's name.
    """

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


def read(folder: str, name: str, decoding: Decoding) -> Decoded:
    """Reads and decodes one file.

    EXIF's orientation is applied. Colour profiles and gamma are ignored, as every image loader of
    machine learning does: the same bytes of pixels are what a user's app will feed.

    Args:
        folder: the folder that all images must lie in.
        name: path of the file from there on.
        decoding: how the file becomes pixels.

    Raises:
        RefusedFileError: it cannot be read, is damaged, empty, animated or too large, its
            extension says otherwise, or it is of a kind that would have to be guessed at.
    """
    from pipeline.data import pictures

    content = _content(folder, name)
    image = pictures.open_upright(content, PurePath(name).suffix)
    size = image.height, image.width
    return Decoded(pictures.to_pixels(image, decoding), size)


def printable(name: str) -> str:
    """The name on one line, in quotes and with escapes where it would not print as it is."""
    return name if name.isprintable() else repr(name)


def _content(folder: str, name: str) -> bytes:
    """The bytes of a regular file that lies in the folder."""
    try:
        name.encode()
        path = os.path.realpath(f"{folder}/{name}")
        if not _is_inside(path, _real_folder(folder)):
            raise RefusedFileError(
                "unreadable", "leads out of the data folder; copy the file into it"
            )
        size, content = _read(os.open(path, OPEN_FLAGS))
    except UnicodeEncodeError as error:
        raise RefusedFileError("unreadable", "has a name that is not UTF-8; rename it") from error
    except OSError as error:
        raise RefusedFileError(
            "unreadable", f"cannot be read ({error.strerror}); check the file"
        ) from error
    except ValueError as error:  # of a NUL in the name
        raise RefusedFileError("unreadable", f"cannot be read ({error}); rename it") from error
    if len(content) != size:
        raise RefusedFileError("unreadable", "changed while it was read; run again")
    return content


def _read(descriptor: int) -> tuple[int, bytes]:
    """The size that was promised, and as many bytes or one more."""
    try:
        size = _checked_size(os.fstat(descriptor))
        parts, missing = [], size + 1
        while missing and (part := os.read(descriptor, missing)):
            parts.append(part)
            missing -= len(part)
        return size, b"".join(parts)
    finally:
        os.close(descriptor)


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")


def _checked_size(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise RefusedFileError("unreadable", f"is {found}; put a picture in its place")
    if not status.st_size:
        raise RefusedFileError("empty", "has no bytes; copy it again")
    if status.st_size > MOST_BYTES:
        raise RefusedFileError(
            "too_large",
            f"has {status.st_size:,} bytes, expected at most {MOST_BYTES:,}; scale it down",
        )
    return status.st_size
