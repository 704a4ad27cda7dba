"""Pixels by one rule for all sources: what they run from and to, and how they become 0..255."""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from shlex import quote
from typing import TYPE_CHECKING

from pipeline.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

Range = tuple[float, float]
WHITES = (31, 32, 63, 64, 100, 127, 128)
"""Where other scales end: 5, 6 and 7 bits, and hundredths."""
USUAL_RANGES = (
    (-0.5, 0.5), (-1, 1), (-128, 127), (0, 255), (0, 1023), (0, 4095), (0, 16383), (0, 65535),
    (-32768, 32767),
)  # fmt: skip
SHOWN_DIGITS = 6
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
            raise _wrong_pixels(where, values, index, image[~is_right][0], pixel_range)
        scaled = image if pixel_range is None else (image - np.float64(low)) * (255 / (high - low))
        pixels[index] = np.rint(scaled)
    return pixels


def _wrong_pixels(
    where: str, values: "np.ndarray", index: int, value: object, pixel_range: Range | None
) -> DataError:
    """Looks through all images, whose values may be of a range, or be no numbers."""
    import numpy as np

    for later, image in enumerate(values[index:], index):
        is_finite = np.isfinite(image)
        if not is_finite.all():
            return no_number(where, image[~is_finite][0], later)
    ends = float(values.min()), float(values.max())
    return wrong_pixel(where, value, index, ends, pixel_range)


def no_number(where: str, value: object, index: int) -> DataError:
    """Tells of NaN or an infinity, which no range can mend; `index` is the first such image."""
    return DataError(
        f"{where} has the value {value} in image {index:,}, the first of such, expected numbers. "
        "Mend that image or leave it out, and save the file again."
    )


def wrong_pixel(
    where: str, value: object, index: int, ends: Range, pixel_range: Range | None
) -> DataError:
    """Tells of a value that is out of the range, or no whole number where none is given.

    `ends` are the lowest and the highest value of all images.
    """
    found = f"{where} has the value {value} in image {index:,}, expected"
    return DataError(f"{found} {expected(pixel_range)}. {remedy(ends)}")


def expected(pixel_range: Range | None, said: str = "as data.pixel_range says") -> str:
    if pixel_range is None:
        return "a whole number 0..255"
    low, high = pixel_range
    return f"a number {low:g}..{high:g} {said}"


def remedy(ends: Range) -> str:
    """The setting that fits values which run from the one end to the other."""
    setting = ", ".join(f"{end:.{SHOWN_DIGITS}g}" for end in fitting_range(*ends))
    return (
        f"All values run from {ends[0]:.{SHOWN_DIGITS}g} to {ends[1]:.{SHOWN_DIGITS}g}: set "
        f"{quote(f'data.pixel_range=[{setting}]')}, or correct the value."
    )


def fitting_range(lowest: float, highest: float) -> Range:
    """The least usual range of which such pixels are; where there is none, their own ends.

    Pixels that fill less than half of a usual range are of another, as they would be nearly black.
    """
    if lowest >= 0 and highest <= 1:
        return 0, 1
    reach = max(-lowest, highest)
    for low, high in USUAL_RANGES:
        is_signed_alike = (low < 0) == (lowest < 0)
        if is_signed_alike and low <= lowest and highest <= high and reach >= high / 2:
            return low, high
    if lowest == highest:
        lowest, highest = min(lowest, 0), max(highest, 0)
    return _rounded(lowest, ROUND_FLOOR), _rounded(highest, ROUND_CEILING)


def _rounded(value: float, rounding: str) -> float:
    """Away from the other end, so that no value is left out."""
    return float(Context(prec=SHOWN_DIGITS, rounding=rounding).create_decimal(repr(value)))
