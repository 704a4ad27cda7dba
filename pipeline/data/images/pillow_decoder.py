"""Decodes the bytes of PNG, JPEG, BMP and WebP with Pillow, and refuses what it would guess at."""

import warnings
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pipeline.data.images import signatures
from pipeline.data.images.decoding import MOST_PIXELS, Alpha, Decoding, Fit, RefusedFileError

# Opened by its own class, a JPEG with a preview or a depth map behind it (MPO) is that JPEG.
READERS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "BMP": BmpImageFile,
    "WebP": WebPImageFile,
}
MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_upright(content: bytes, suffix: str = "") -> Image.Image:
    """Decodes a picture, turned as its EXIF says.

    Args:
        content: all bytes of the file.
        suffix: of its name; where there is one, it must be that of the format.

    Raises:
        RefusedFileError: it is damaged, animated, too large, misnamed, or of a kind that would
            have to be guessed at.
    """
    found = signatures.format_of(content, suffix)
    signatures.refuse_unsupported(content, found)
    if found == "WebP":  # its reader claims memory before it tells the size
        refuse_size(*signatures.webp_size(content))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = READERS[found](BytesIO(content))
            _refuse_by_header(image)
            image.load()
            turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except (RefusedFileError, MemoryError):
        raise
    except Exception as error:  # Pillow has no list of what damaged bytes raise
        raise _refusal(content, found, error) from error
    _scale_transparent_grey(image, content, found)
    return image if turn is None else image.transpose(turn)


def _refuse_by_header(image: ImageFile) -> None:
    """Refuses by what the header says, before memory is claimed for pixels."""
    refuse_size(image.width, image.height)
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise RefusedFileError(
            "animated", f"is animated ({frames} frames), expected one picture; save one frame"
        )
    if image.mode not in MODES:
        raise RefusedFileError(
            "unsupported",
            f"has pixels of the kind {image.mode}, expected 8-bit RGB or grey; convert it",
        )


def refuse_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise RefusedFileError(
            "too_large",
            f"has {width:,}×{height:,} pixels, expected at most {MOST_PIXELS:,} in all; "
            "scale it down",
        )


def _refusal(content: bytes, found: str, error: Exception) -> RefusedFileError:
    if signatures.is_cut_off(content, found) or "truncated" in str(error):
        return RefusedFileError("truncated", "ends before its picture does; copy it again")
    if "-bit layers" in str(error):
        return RefusedFileError(
            "unsupported", "has more than 8 bits a channel, expected 8; convert it"
        )
    words = " ".join(str(error).split())[:100] or type(error).__name__
    return RefusedFileError(
        "undecodable", f"cannot be decoded as {found} ({words}); save it again, or drop it"
    )


def _scale_transparent_grey(image: Image.Image, content: bytes, found: str) -> None:
    """Pillow scales grey of 2 or 4 bits to 8, but not the grey that is to be transparent."""
    key = image.info.get("transparency")
    if found == "PNG" and image.mode == "L" and isinstance(key, int):
        bits = signatures.png_bits(content)
        image.info["transparency"] = key * (255 // (2**bits - 1))


def to_pixels(image: Image.Image, decoding: Decoding) -> np.ndarray:
    """Brings a picture to the channels and the size that are wanted.

    Returns:
        uint8 (height, width, channels).

    Raises:
        RefusedFileError: it has transparent parts, and `decoding` does not say what is behind.
    """
    image = _opaque(image, decoding.alpha)
    if image.mode != "RGB" and (image.mode != "L" or decoding.color_mode == "rgb"):
        image = image.convert("RGB")
    if decoding.color_mode == "grayscale":
        image = image.convert("L")
    if decoding.image_size is not None:
        image = fit_to(image, decoding.image_size, decoding.fit)
    return np.atleast_3d(np.asarray(image))


def _opaque(image: Image.Image, alpha: Alpha) -> Image.Image:
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    cover = rgba.getchannel("A")
    if cover.getextrema()[0] == 255:
        return rgba.convert("RGB")
    if alpha == "refuse":
        raise RefusedFileError(
            "unsupported",
            "has transparent parts; save it without them",
            "set data.alpha to white or black",
        )
    paper = Image.new("RGB", image.size, alpha)
    paper.paste(rgba.convert("RGB"), mask=cover)
    return paper


def fit_to(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Scales to a height and width by `fit`, each new pixel a weighted mean of all that it covers.

    Args:
        image: of the mode L or RGB.
        size: height and width.
        fit: as in `Decoding`.
    """
    height, width = size
    if image.size == (width, height):
        return image
    if fit == "letterbox":
        inner = fitting_size(image.size, (width, height))
        fitted = Image.new(image.mode, (width, height))
        fitted.paste(
            image.resize(inner, Image.Resampling.BILINEAR),
            ((width - inner[0]) // 2, (height - inner[1]) // 2),
        )
        return fitted
    if fit == "crop":
        image = image.crop(central_box(image.size, (width, height)))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def fitting_size(size: tuple[int, int], bounds: tuple[int, int]) -> tuple[int, int]:
    """The largest width and height within bounds in the proportions of `size`, at least 1."""
    scale = min(bounds[0] / size[0], bounds[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def central_box(size: tuple[int, int], proportions: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the largest central part in these proportions, in pixels."""
    (width, height), (wide, high) = size, proportions
    if width * high >= height * wide:
        kept = max(1, (2 * height * wide + high) // (2 * high))
        left = (width - kept) // 2
        return left, 0, left + kept, height
    kept = max(1, (2 * width * high + wide) // (2 * wide))
    top = (height - kept) // 2
    return 0, top, width, top + kept
