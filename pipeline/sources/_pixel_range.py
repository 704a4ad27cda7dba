"""Pixels by one rule for all sources: what they run from and to, and how they become 0..255."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np

Range = tuple[float, float]
WHITES = (31, 32, 63, 64, 100, 127, 128)
"""Where other scales end: 5, 6 and 7 bits, and hundredths."""
SIXTEEN_LEVELS = 16
REACHING_SHARE, REACHING_IMAGES = 0.25, 10


def white_of_scale(highest: "np.ndarray") -> int | None:
    """Where the pixels end, if that is no 0..255.

    Images that are dark have a brightest pixel too. But in sixteen levels hardly anything can be
    told apart, so that pixels up to 16 are of another scale; and where another scale ends at its
    white, many images reach it, while of dark images only a few have the very brightest pixel.

    Args:
        highest: uint8 (images,), the highest pixel of each.

    Returns:
        The highest pixel of all images where it is another scale's white; else None.
    """
    import numpy as np

    return white_of_counts(np.bincount(highest, minlength=256).tolist())


def white_of_counts(counts: Sequence[int]) -> int | None:
    """The same by how many images have each of 0..255 for their highest pixel."""
    white = max((level for level, count in enumerate(counts) if count), default=0)
    is_shared = counts[white] >= max(REACHING_IMAGES, REACHING_SHARE * sum(counts))
    is_other = white <= SIXTEEN_LEVELS or (white in WHITES and is_shared)
    return white if white and is_other else None


def as_bytes(where: str, values: "np.ndarray", pixel_range: Range | None) -> "np.ndarray":
    """Pixels as uint8.

    Args:
        where: what holds them, for errors.
        values: numbers (count, ...).
        pixel_range: what becomes 0 and what 255; where None, they are 0..255 already.

    Raises:
        DataError: a value is out of the range, or is no whole number where none is given.
    """
    import numpy as np

    if values.dtype == np.uint8 and pixel_range in (None, (0, 255)):
        return values
    low, high = pixel_range or (0, 255)
    pixels = np.empty(values.shape, np.uint8)
    for index, image in enumerate(values):
        is_right = (image >= low) & (image <= high)
        if pixel_range is None:
            is_right &= image == np.floor(image)
        if not is_right.all():
            raise wrong_pixel(where, image[~is_right][0], index, pixel_range)
        scaled = image if pixel_range is None else (image - np.float64(low)) * (255 / (high - low))
        pixels[index] = np.rint(scaled)
    return pixels


def wrong_pixel(where: str, value: object, index: int, pixel_range: Range | None) -> DataError:
    """Tells of a value that is out of the range, or no whole number where none is given."""
    found = f"{where} has the value {value} in image {index:,}, expected"
    if pixel_range is None:
        return DataError(
            f"{found} whole numbers 0..255. Scale them to that range and save them as uint8, or "
            "say what they run from and to: data.pixel_range=[0, 1]."
        )
    return DataError(f"{found} {shown(pixel_range)} as data.pixel_range says. Correct one of them.")


def shown(pixel_range: Range) -> str:
    """`0..16`."""
    return "..".join(f"{end:g}" for end in pixel_range)
