"""A sheet of pictures, each beside what the model saw of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from export.formats.contract import ImageInput
from pipeline.core.errors import ConfigError
from pipeline.inference.pictures import (
    Polarity,
    Prediction,
    flatten,
    open_picture,
    read_picture,
)

MOST, COLUMNS = 400, 6
SIDE, GAP, LINE = 112, 8, 18
PAPER, TEXT, SOFT, FRAME = "white", "black", "#606060", "#c8c8c8"
LONGEST_NAME = 30
MARK = "evenkeel predict --show"
"""What a sheet says of itself, so that no other picture is replaced by one."""


def refuse(target: Path) -> None:
    """Refuses a place where a picture is that is no sheet.

    Raises:
        ConfigError: there is one.
    """
    if not target.exists():
        return
    try:
        with Image.open(target) as found:
            is_sheet = found.info.get("Software") == MARK
    except (OSError, ValueError, SyntaxError):
        is_sheet = False
    if not is_sheet:
        raise ConfigError(f"--show {target}: is a file of another kind; name a new one")


def write(
    target: Path, answers: Sequence[Prediction], wanted: ImageInput, polarity: Polarity
) -> int:
    """Writes a PNG with the first MOST of the pictures that were answered, in their order.

    Args:
        target: the file.
        answers: of `predict`, from 1 on.
        wanted: what the pictures were brought to.
        polarity: how the pictures are drawn.

    Returns:
        How many pictures it shows.

    Raises:
        DataError: a picture is not there any more.
        OSError: the file cannot be written.
    """
    shown = answers[:MOST]
    columns = min(COLUMNS, len(shown))
    width, height = 2 * SIDE + 3 * GAP, SIDE + 2 * LINE + 2 * GAP
    sheet = Image.new("RGB", (columns * width, -(-len(shown) // columns) * height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for number, answer in enumerate(shown):
        left, top = GAP + number % columns * width, GAP + number // columns * height
        file = Path(answer.file)
        pixels, _ = read_picture(file, wanted, polarity)
        seen = Image.fromarray(np.squeeze(pixels))
        picture = flatten(open_picture(file)).convert("RGB")
        _paste(sheet, picture, (left, top), Image.Resampling.BILINEAR)
        _paste(sheet, seen.convert("RGB"), (left + SIDE + GAP, top), Image.Resampling.NEAREST)
        said = f"{answer.label}  {100 * answer.probability:.1f} %  {answer.polarity}"
        draw.text((left, top + SIDE + 3), said, fill=TEXT, font=font)
        name = file.name if len(file.name) <= LONGEST_NAME else f"…{file.name[1 - LONGEST_NAME :]}"
        draw.text((left, top + SIDE + LINE + 3), " ".join(name.split()), fill=SOFT, font=font)
    about = PngInfo()
    about.add_text("Software", MARK)
    sheet.save(target, "PNG", pnginfo=about)
    return len(shown)


def _paste(
    sheet: Image.Image, image: Image.Image, place: tuple[int, int], method: Image.Resampling
) -> None:
    """Fits the image into a square there, as large as it can be, and frames it."""
    scale = SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    left, top = place[0] + (SIDE - size[0]) // 2, place[1]
    sheet.paste(image.resize(size, method, reducing_gap=2.0), (left, top))
    end = left + size[0] - 1, top + size[1] - 1
    ImageDraw.Draw(sheet).rectangle(((left, top), end), outline=FRAME)
