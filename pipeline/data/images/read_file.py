"""Reads a picture file within the data folder, trusting neither its name nor its size."""

import os
import stat
from functools import cache
from pathlib import PurePath

from pipeline.data.images.decoding import MOST_BYTES, Decoded, Decoding, RefusedFileError
from pipeline.data.images.pillow_decoder import open_upright, to_pixels

# A FIFO is not waited for, and a link that was put there meanwhile is not followed. Windows knows
# neither, and makes other bytes of line ends unless told not to.
FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
OPEN_FLAGS = sum((getattr(os, name, 0) for name in FLAGS), os.O_RDONLY)


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
    content = _content(folder, name)
    image = open_upright(content, PurePath(name).suffix)
    size = image.height, image.width
    return Decoded(to_pixels(image, decoding), size)


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
        raise RefusedFileError("unreadable", "has a NUL byte in its name; rename it") from error
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
    return path.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


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
