"""Turns a picture file into pixels of one shape, or says why that would be a guess."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass(frozen=True)
class Decoding:
    """How files become pixels.

    Attributes:
        color_mode: the channels to make, 3 or 1.
        image_size: height and width; None keeps the file's own.
        fit: how an image of another shape comes to `image_size`: `stretch` ignores its
            proportions, `letterbox` keeps them and fills the rest, `crop` keeps them and cuts.
    """

    color_mode: Literal["rgb", "grayscale"] = "rgb"
    image_size: tuple[int, int] | None = None
    fit: Literal["stretch", "letterbox", "crop"] = "stretch"


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

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


def read(folder: str, name: str, decoding: Decoding) -> Decoded:
    """Reads and decodes one file.

    Args:
        folder: the folder that all images must lie in.
        name: path of the file from there on.
        decoding: how the file becomes pixels.

    Raises:
        RefusedFileError: it cannot be read, is damaged, empty, animated or too large, its
            extension says otherwise, or it is of a kind that would have to be guessed at.
    """
    raise NotImplementedError
