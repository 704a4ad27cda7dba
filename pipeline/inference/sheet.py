"""A sheet of pictures, each beside what the model saw of it."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from export.formats.contract import ImageInput
from pipeline.inference.pictures import Polarity, Prediction, open_picture, read_picture

MOST, COLUMNS = 400, 6
SIDE, GAP, LINE = 112, 8, 20
PAPER, TEXT, FRAME = "white", "black", "#c8c8c8"


def write(
    target: Path, answers: Sequence[Prediction], wanted: ImageInput, polarity: Polarity
) -> None:
    """Writes a PNG with the first MOST of the pictures that were answered, in their order.

    Args:
        target: the file.
        answers: of `predict`.
        wanted: what the pictures were brought to.
        polarity: how the pictures are drawn.

    Raises:
        DataError: a picture is not there any more.
        OSError: the file cannot be written.
    """
    shown = list(islice(answers, MOST))
    columns = min(COLUMNS, max(1, len(shown)))
    width, height = 2 * SIDE + 3 * GAP, SIDE + LINE + 2 * GAP
    sheet = Image.new("RGB", (columns * width, -(-len(shown) // columns) * height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for number, answer in enumerate(shown):
        left, top = GAP + number % columns * width, GAP + number // columns * height
        pixels, _ = read_picture(Path(answer.file), wanted, polarity)
        seen = Image.fromarray(np.squeeze(pixels))
        for image, way in ((open_picture(Path(answer.file)), 1), (seen, 0)):
            method = Image.Resampling.BILINEAR if way else Image.Resampling.NEAREST
            fitted = ImageOps.contain(image.convert("RGB"), (SIDE, SIDE), method)
            place = left + (0 if way else SIDE + GAP)
            sheet.paste(fitted, (place, top))
            end = place + fitted.width - 1, top + fitted.height - 1
            draw.rectangle(((place, top), end), outline=FRAME)
        said = f"{answer.label}  {100 * answer.probability:.1f} %"
        draw.text((left, top + SIDE + 3), said, fill=TEXT, font=font)
    sheet.save(target, "PNG")
