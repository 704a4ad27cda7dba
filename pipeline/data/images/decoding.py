"""What becomes of a picture file: how it is decoded, what comes of it, or why it is refused."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MOST_BYTES = 2**27
MOST_PIXELS = 2**26

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
        reason: why, in words that go on after the file's name, and what to do.
        about_file: the same without the setting that would let the file in.
    """

    def __init__(self, kind: Kind, about_file: str, setting: str = "") -> None:
        super().__init__(kind, about_file, setting)
        self.kind, self.about_file = kind, about_file
        self.reason = f"{about_file}, or {setting}" if setting else about_file
