"""Classifies picture files with an exported format, in that format's own runtime."""

import math
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from export.formats import contract, failures
from export.formats.contract import Contract, ImageInput
from export.formats.format import Holds, answer_function, formats
from pipeline.core.content import HEAD_BYTES
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images import ink, read_file, signatures
from pipeline.data.images.decoding import ColorMode, Decoding, RefusedFileError
from pipeline.data.images.pillow_decoder import fitting_size
from pipeline.data.sources._folder_listing import list_pictures

Polarity = Literal["auto", "light_on_dark", "dark_on_light"]
Preparing = Literal["auto", "ink", "none"]
BROUGHT = {
    "crop": "cropped to",
    "letterbox": "with black bars to",
    "stretch": "stretched to",
    "pad": "with its border's colour to",
}
BACKGROUND = {"light_on_dark": "dark", "dark_on_light": "light"}
USUAL = "tflite_float32"
TOP = 3
PIXELS_A_BATCH = 2**22
MID_GREY = 127.5
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Prediction:
    """The answer to one file.

    Attributes:
        file: the picture.
        label: the class with the highest probability.
        probability: of it.
        top: the three likeliest classes with their probabilities, highest first.
        polarity: how the picture was read, and whether it was inverted for the model.
    """

    file: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    polarity: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def predict(
    files: Sequence[Path],
    export_folder: Path,
    format_name: str,
    polarity: Polarity = "auto",
    refuse: Callable[[DataError], None] | None = None,
    preparing: Preparing = "auto",
) -> Iterator[Prediction]:
    """Classifies pictures, of which some are in memory at a time.

    Args:
        files: PNG, JPEG, BMP or WebP files, of any size, grey or in colour.
        export_folder: an export artifact.
        format_name: which of its formats answers.
        polarity: how the pictures are drawn; `auto` looks at each picture's border.
        refuse: is told of each file that cannot be answered; without it the first is raised.
        preparing: as in `wanted_input`.

    Yields:
        The answers, in the order of the files that have one.

    Raises:
        ConfigError: the artifact lacks the format, or the model knows no polarity or ink.
        DataError: a file is no picture, or one of a kind that training would have refused.
    """
    promised = contract.read(export_folder)
    path = file_of(promised, format_name, export_folder)
    if polarity != "auto" and promised.input.background == "mixed":
        raise ConfigError(
            f"--polarity {polarity}: the training images have no common background to turn "
            "the picture to; leave --polarity out"
        )
    wanted = wanted_input(promised, preparing)
    pictures = _readable(files, wanted, polarity, refuse)
    count = max(1, PIXELS_A_BATCH // math.prod(wanted.shape))
    answer = None
    while batch := list(islice(pictures, count)):
        answer = answer or answer_function(format_name, path)
        probabilities = answer(np.stack([image for _, image, _ in batch]))
        for row, (file, _, read_as) in zip(probabilities, batch, strict=True):
            yield _answer(file, row, promised.output.labels, read_as)


def wanted_input(promised: Contract, preparing: Preparing = "auto") -> ImageInput:
    """What a picture is brought to.

    Args:
        promised: the model's contract.
        preparing: `auto` finds ink in a picture if the training images were ink; `ink` insists on
            that; `none` scales the picture as it is.

    Raises:
        ConfigError: there is no ink to find.
    """
    wanted = promised.input.as_trained
    if preparing == "ink" and wanted.preparation is None:
        raise ConfigError(
            "--prepare ink: the training images were not ink on an even ground; leave --prepare out"
        )
    return replace(wanted, preparation=None) if preparing == "none" else wanted


def _readable(
    files: Sequence[Path],
    wanted: ImageInput,
    polarity: Polarity,
    refuse: Callable[[DataError], None] | None,
) -> Iterator[tuple[Path, np.ndarray, str]]:
    for file in files:
        try:
            yield file, *read_picture(file, wanted, polarity)
        except DataError as error:
            if refuse is None:
                raise
            refuse(error)


def pictures_in(
    places: Sequence[Path], refuse: Callable[[DataError], None] | None = None
) -> list[Path]:
    """The files that are meant: of a folder, all pictures in it and in the folders below.

    `refuse` is told of each folder that cannot be read or holds no picture.

    Raises:
        DataError: there is such a folder, and nobody who is told of it.
    """
    files: list[Path] = []
    for place in places:
        try:
            files += _pictures_of(place) if place.is_dir() else [place]
        except DataError as error:
            if refuse is None:
                raise
            refuse(error)
    return files


def _pictures_of(folder: Path) -> list[Path]:
    if found := list_pictures(folder, ".").names:
        return [folder / name for name in found]
    raise DataError(f"{folder}: holds no picture, such as a PNG or JPEG; name another folder")


def usual_format(folder: Path, failed: Collection[str] = ()) -> str:
    """What answers where nobody says what: `USUAL`, or else the most exact of those that passed.

    Args:
        folder: an export artifact.
        failed: formats that did not pass; one of them answers where there is no other.
    """
    written = _written(contract.read(folder), failures.read(folder))
    if USUAL in written or not written:
        return USUAL
    return max(written, key=lambda name: (name not in failed, _bits(formats()[name].holds)))


def _bits(holds: Holds) -> tuple[int, ...]:
    """How wide the numbers of a format are: those that it stores, then those it computes with."""
    return tuple(
        int(dtype.lstrip(ascii_lowercase)) for dtype in (holds.kernels[0], holds.activations[0])
    )


def _written(promised: Contract, failed: Collection[str]) -> list[str]:
    return [name for name in formats() if name in promised.formats and name not in failed]


def file_of(promised: Contract, format_name: str, folder: Path) -> Path:
    """Where the format is in the export artifact `folder`, which promises it.

    Raises:
        ConfigError: it is not there.
    """
    failed = failures.read(folder)
    written = _written(promised, failed)
    if format_name in written:
        return folder / promised.formats[format_name].file
    why = failed.get(format_name, "this run did not export it")
    raise ConfigError(f"--format {format_name}: {why}. Available: {', '.join(written)}")


def read_picture(
    file: Path, wanted: ImageInput, polarity: Polarity = "auto"
) -> tuple[np.ndarray, str]:
    """A picture's pixels, and how it was read; as a training image if these were files too.

    Raises:
        DataError: it is no picture, or one of a kind that training would have refused.
    """
    fit, alpha = wanted.resize.fit, wanted.alpha
    if fit == "pad" or alpha == "contrast":
        return prepare(open_picture(file), wanted, polarity)
    if not file.exists():
        raise DataError(f"{file}: there is no such file")
    mode: ColorMode = "rgb" if wanted.colour == "rgb" else "grayscale"
    place = file.resolve()
    try:
        options = Decoding(mode, wanted.shape[:2], fit, alpha)
        decoded = read_file.read(str(place.parent), place.name, options)
        return decoded.pixels, _brought(decoded.file_size, wanted.shape, fit)
    except RefusedFileError as refused:
        raise DataError(f"{file}: {refused.about_file}") from refused


def _brought(size: tuple[int, int], shape: tuple[int, int, int], fit: str) -> str:
    """How a picture of `size`, height and width, came to the model's; `cropped to 64×48`."""
    height, width, _ = shape
    if size == (height, width):
        return "as it is"
    is_alike = size[0] * width == size[1] * height
    return f"{'scaled to' if is_alike else BROUGHT[fit]} {width}×{height}"


def open_picture(file: Path) -> Image.Image:
    """Decodes a picture the right way up."""
    try:
        _refuse_foreign(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                if (frames := getattr(image, "n_frames", 1)) > 1:
                    raise DataError(
                        f"{file}: is animated ({frames} frames), expected one picture; save one "
                        "frame"
                    )
                return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except (OSError, ValueError, SyntaxError, *TOO_LARGE) as error:
        raise DataError(f"{file}: cannot be read as {', '.join(FORMATS)} ({error})") from error


def _refuse_foreign(file: Path) -> None:
    """Names a picture of a kind that is not read, with what to do."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if found := signatures.foreign_kind(head):
        raise DataError(f"{file}: is {found}; {signatures.remedy_of(found)}")


def prepare(image: Image.Image, wanted: ImageInput, polarity: Polarity) -> tuple[np.ndarray, str]:
    """Turns a picture into what the model was trained on.

    Transparent parts become white, or black behind a light drawing. Of ink, the strokes are found
    and laid out as in the training images (`ink.prepare`). Any other picture keeps its
    proportions: it is scaled down with antialiasing, or up, to fit, and its own background fills
    the rest. It is inverted if its background is light and that of the training images dark, or
    the other way round; `auto` takes the median of the outermost pixels for the background.

    Returns:
        Pixels: uint8 (height, width, channels); and how the picture was read.
    """
    mode = "RGB" if wanted.colour == "rgb" else "L"
    opaque = flatten(image).convert(mode)
    if layout := wanted.ink_layout:
        known = None if polarity == "auto" else polarity == "dark_on_light"
        ink_found, is_dark = ink.prepare(np.asarray(opaque), layout, known)
        if ink_found.min() == ink_found.max():
            return ink_found[..., None], "no ink found"
        return ink_found[..., None], "dark on light" if is_dark else "light on dark"
    border = _border(np.asarray(opaque))
    background = BACKGROUND.get(polarity) or ("light" if border.mean() > MID_GREY else "dark")
    pixels = np.asarray(_fit(opaque, wanted.shape, border)).reshape(wanted.shape)
    if wanted.background == "mixed":
        return pixels, _brought((image.height, image.width), wanted.shape, wanted.resize.fit)
    read_as = "dark on light" if background == "light" else "light on dark"
    if background == wanted.background:
        return pixels, read_as
    return 255 - pixels, f"{read_as}, inverted"


def _fit(image: Image.Image, shape: tuple[int, int, int], around: np.ndarray) -> Image.Image:
    height, width, _ = shape
    size = fitting_size(image.size, (width, height))
    fitted = Image.new(image.mode, (width, height), tuple(around.astype(int).tolist()))
    corner = (width - size[0]) // 2, (height - size[1]) // 2
    fitted.paste(image.resize(size, Image.Resampling.BILINEAR), corner)
    return fitted


def flatten(image: Image.Image) -> Image.Image:
    """Puts a picture on a background where it is transparent; brings 16-bit grey to 8."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    grey, alpha = np.asarray(rgba.convert("L")), np.asarray(rgba)[..., 3]
    is_light = alpha.any() and np.average(grey, weights=alpha) > MID_GREY
    paper = Image.new("RGBA", rgba.size, "black" if is_light else "white")
    return Image.alpha_composite(paper, rgba)


def _border(pixels: np.ndarray) -> np.ndarray:
    """Median of the outermost ring, by channel: float (channels,)."""
    image = np.atleast_3d(pixels)
    sides = image[0], image[-1], image[:, 0], image[:, -1]
    return np.median(np.concatenate(sides), axis=0)


def _answer(file: Path, row: np.ndarray, labels: Sequence[str], read_as: str) -> Prediction:
    likeliest = np.argsort(-row, kind="stable")[:TOP]
    top = tuple((labels[index], float(row[index])) for index in likeliest)
    return Prediction(str(file), *top[0], top, read_as)
