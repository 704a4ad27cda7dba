"""Reads the four IDX files of MNIST and its relatives, plain or gzipped.

The format: two zero bytes, a type (8 for uint8), the number of dimensions, each dimension as a
big-endian uint32, then the values (http://yann.lecun.com/exdb/mnist).
"""

import gzip
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

from pydantic import Field

from pipeline.config.schema import ClassNames, DataSection, OutsidePath
from pipeline.core.content import HEAD_BYTES, kind_of_bytes
from pipeline.core.errors import DataError
from pipeline.core.text import quoted, times
from pipeline.data.images.types import LabelledImages, SourceData
from pipeline.data.sources._fitting import fitting_beside, no_folder
from pipeline.data.sources._pixel_range import as_bytes

if TYPE_CHECKING:
    import numpy as np

MNIST = Path(__file__).resolve().parents[2] / "datasets" / "mnist"
KINDS = {0x801: "labels", 0x803: "images"}
FILES = ("train_images", "train_labels", "test_images", "test_labels")
PIECE_BYTES = 1 << 24
MOST_SHOWN = 8


class Options(DataSection):
    """Where the files are; each is found with or without `.gz`.

    Attributes:
        folder: where the four files are; the MNIST that comes along if left out.
        train_images: the file of training images.
        train_labels: the file of their labels.
        test_images: the file of test images.
        test_labels: the file of their labels.
        transpose: exchanges rows and columns, for files that hold images column by column.
        first_label: the label of the first class; EMNIST letters count from 1.
        classes: names in label order; the labels themselves where None.
        size_limit_bytes: what the images of one file may take in memory.
    """

    source: Literal["idx"] = "idx"
    folder: OutsidePath = MNIST
    train_images: str = "train-images-idx3-ubyte.gz"
    train_labels: str = "train-labels-idx1-ubyte.gz"
    test_images: str = "t10k-images-idx3-ubyte.gz"
    test_labels: str = "t10k-labels-idx1-ubyte.gz"
    transpose: bool = False
    first_label: Annotated[int, Field(ge=0, le=255)] = 0
    classes: ClassNames | None = None
    size_limit_bytes: Annotated[int, Field(ge=1)] = 2**32

    def outside_files(self) -> dict[str, Path]:
        return {option: _find(self.folder, getattr(self, option)) for option in FILES}


def load(options: Options) -> SourceData:
    """Reads both splits.

    Raises:
        DataError: a file is missing, damaged, foreign, or does not fit its partner.
    """
    train_images, train_labels, test_images, test_labels = options.outside_files().values()
    train = _read_split(train_images, train_labels, options)
    test = _read_split(test_images, test_labels, options)
    _refuse_late_labels(options, min(part.labels.min(initial=255) for part in (train, test)))
    classes = options.classes or _label_texts(train, options.first_label)
    origin = f"IDX files from the folder {options.folder.resolve().name}"
    return SourceData(train, test, classes, origin)


def _find(folder: Path, name: str) -> Path:
    bare = name.removesuffix(".gz")
    for path in (folder / name, folder / bare, folder / f"{bare}.gz"):
        if path.is_file():
            return path
    if not folder.is_dir():
        raise no_folder(folder)
    raise DataError(f"{folder / name}: no such file, with or without .gz{_instead(folder)}")


def _instead(folder: Path) -> str:
    """What lies in the folder, and what to do."""
    files = sorted(p.name for p in folder.glob("*") if p.is_file() and p.name[0] != ".")
    if not files:
        return f". Put it there, or name its folder as data.folder.{_if_photos(folder)}"
    there = f"; there are {quoted(files, MOST_SHOWN)}. "
    if other := fitting_beside(folder, files[:MOST_SHOWN], "npz", "csv"):
        return f"{there}{other}"
    names = (Options.model_fields[option].default.removesuffix(".gz") for option in FILES)
    return (
        f"{there}Expected {', '.join(names)}: rename the files, set "
        f"{', '.join(f'data.{option}' for option in FILES)} to their names, or correct "
        f"data.folder.{_if_photos(folder)}"
    )


def _if_photos(folder: Path) -> str:
    if not any(path.is_dir() and not path.name.startswith(".") for path in folder.glob("*")):
        return ""
    return " It holds folders: for photos use -c configs/photos.yaml."


def _refuse_late_labels(options: Options, lowest: int) -> None:
    """Refuses labels that are counted from another number on, in all files."""
    if 0 < lowest < 255:
        first = options.first_label
        raise DataError(
            f"{options.folder}: labels begin at {first + lowest}, expected {first}. If the first "
            f"class is {first + lowest}, set data.first_label={first + lowest}; else add images of "
            f"class {first}."
        )


def _label_texts(data: LabelledImages, first: int) -> tuple[str, ...]:
    return tuple(str(first + index) for index in range(int(data.labels.max(initial=-1)) + 1))


def _read_split(images_path: Path, labels_path: Path, options: Options) -> LabelledImages:

    def refuse_size(shape: tuple[int, ...]) -> None:
        if math.prod(shape) > options.size_limit_bytes:
            raise DataError(
                f"{images_path}: declares {_declared(shape)}, expected at most "
                f"{options.size_limit_bytes:,}. If it is real, raise data.size_limit_bytes."
            )

    images = as_bytes(str(images_path), _read(images_path, 0x803, refuse_size), options.pixel_range)

    def refuse_count(shape: tuple[int, ...]) -> None:
        if shape != (len(images),):
            raise DataError(
                f"{labels_path}: {shape[0]:,} labels for the {len(images):,} images of "
                f"{images_path.name}. Take both files from one data set."
            )

    labels = _read(labels_path, 0x801, refuse_count)
    if options.transpose:
        images = images.swapaxes(1, 2).copy()
    return LabelledImages(images[..., None], _class_indices(labels_path, labels, options))


def _class_indices(path: Path, labels: "np.ndarray", options: Options) -> "np.ndarray":
    """The labels of a file, counted from 0: int64 (count,)."""
    labels = labels.astype("int64")
    first = options.first_label
    last = first + len(options.classes) - 1 if options.classes else 255
    wrong = ((labels < first) | (labels > last)).nonzero()[0]
    if wrong.size:
        lowest, remedy = labels.min(), "Correct the label, data.classes or data.first_label."
        if first < lowest and labels.max() - lowest <= last - first:
            remedy = f"If the first class is {lowest}, set data.first_label={lowest}."
        raise DataError(
            f"{path}: label {labels[wrong[0]]} at position {wrong[0]:,}, expected {first}..{last}. "
            f"{remedy}"
        )
    return labels - first


def _read(path: Path, magic: int, check: Callable[[tuple[int, ...]], None]) -> "np.ndarray":
    """The values of one file: uint8, in the shape that its header declares.

    `check` refuses a shape before anything of that size is read.
    """
    import numpy as np

    try:
        with _open(path) as stream:
            shape = _read_shape(path, stream, magic)
            check(shape)
            values = _read_at_most(stream, math.prod(shape) + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged archive ({error}). Download it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the file.") from error
    if len(values) != math.prod(shape):
        found = "holds more" if len(values) > math.prod(shape) else f"ends after {len(values):,}"
        raise DataError(f"{path}: declares {_declared(shape)} but {found}. Download it again.")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _declared(shape: tuple[int, ...]) -> str:
    return f"{times(shape)} = {math.prod(shape):,} bytes"


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_gzipped else path.open("rb")  # type: ignore[return-value]


def _read_shape(path: Path, stream: BinaryIO, magic: int) -> tuple[int, ...]:
    found = stream.read(4)
    if found != magic.to_bytes(4, "big"):
        kind = KINDS.get(int.from_bytes(found, "big"))
        what = f"a file of IDX {kind}" if kind else _strange(found + stream.read(HEAD_BYTES))
        raise DataError(
            f"{path}: {what}, expected IDX {KINDS[magic]} (0x{magic:08x}). "
            "Name the right file in the data section."
        )
    count = magic & 0xFF
    sizes = stream.read(4 * count)
    if len(sizes) < 4 * count:
        raise DataError(f"{path}: ends inside its header. Download it again.")
    return tuple(int.from_bytes(sizes[at : at + 4], "big") for at in range(0, 4 * count, 4))


def _strange(head: bytes) -> str:
    return kind_of_bytes(head) or f"a file that begins with 0x{head[:4].hex()}"


def _read_at_most(stream: BinaryIO, size_bytes: int) -> bytearray:
    """Reads in pieces, so that what a header declares claims no memory by itself."""
    content = bytearray()
    while piece := stream.read(min(PIECE_BYTES, size_bytes - len(content))):
        content += piece
    return content
