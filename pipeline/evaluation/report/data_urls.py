"""Pictures as `data:` URLs, so that a page holds them itself."""

import base64
import io

import numpy as np
from PIL import Image

LARGEST_SIDE = 160


def data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def image_url(image: np.ndarray) -> str:
    """The image as a PNG of at most `LARGEST_SIDE` pixels a side.

    Args:
        image: uint8 (height, width, channels) with 1, 3 or 4 channels.
    """
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return data_url(file.getvalue())
