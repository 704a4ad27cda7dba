"""Reads images and labels from the arrays of one NumPy file, `.npz`."""

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config import ClassNames, DataSection, OutsidePath, Section
from pipeline.errors import DataError
from pipeline.file_kinds import kind_of
from pipeline.sources import LabelledImages, SourceData
from pipeline.sources._npy import read_array

if TYPE_CHECKING:
    import numpy as np

MOST_CLASSES = 2**16
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises, by its source, where an archive is damaged or made to harm.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, RuntimeError,
    ValueError,
)  # fmt: skip


class Arrays(Section):
    """The name of each array in the file; without validation arrays, training gives some up."""

    train_images: str
    train_labels: str
    test_images: str
    test_labels: str
    validation_images: str | None = None
    validation_labels: str | None = None

    @model_validator(mode="after")
    def _validation_is_whole(self) -> "Arrays":
        if (self.validation_images is None) != (self.validation_labels is None):
            raise ValueError("give both validation_images and validation_labels, or neither")
        return self

    def names(self) -> set[str]:
        return {name for name in self.model_dump().values() if name is not None}

    def splits(self) -> Iterator[tuple[str, str]]:
        """Images and labels of training, of testing, and of validation where there is one."""
        yield self.train_images, self.train_labels
        yield self.test_images, self.test_labels
        if self.validation_images and self.validation_labels:
            yield self.validation_images, self.validation_labels


def _layout(images: str, labels: str, *splits: str) -> Arrays:
    """The names that a pattern gives to training, test and perhaps validation arrays."""
    parts = zip(("train", "test", "validation"), splits, strict=False)
    pairs = [(part, images.format(split), labels.format(split)) for part, split in parts]
    named = {f"{part}_images": name for part, name, _ in pairs}
    return Arrays(**named, **{f"{part}_labels": name for part, _, name in pairs})


LAYOUTS = (
    _layout("{}_images", "{}_labels", "train", "test", "val"),  # MedMNIST
    _layout("{}_images", "{}_labels", "train", "test"),
    _layout("x_{}", "y_{}", "train", "test"),  # keras.datasets
)


class Options(DataSection):
    """Which file, and which of its arrays.

    Attributes:
        arrays: names in the file; None finds those of `keras.datasets` files (`x_train`,
            `y_train`, `x_test`, `y_test`) and of MedMNIST (`train_images`, `val_images`, …).
            With validation arrays, no share of the training images is drawn for validation.
        classes: names in label order; the labels themselves where None.
        size_limit_bytes: what the arrays may take in memory, all together.
    """

    source: Literal["npz"] = "npz"
    file: OutsidePath
    arrays: Arrays | None = None
    classes: ClassNames | None = None
    size_limit_bytes: Annotated[int, Field(ge=1)] = 2**32

    def outside_files(self) -> dict[str, Path]:
        if not self.file.is_file():
            raise DataError(f"{self.file}: no such file. Put it there, or set data.file.")
        return {self.file.name: self.file}


def load(options: Options) -> SourceData:
    """Reads the splits that the file holds; its own validation split, where it has one, is kept.

    Raises:
        DataError: the file is missing, damaged or no `.npz`; an array is missing, too large, or
            no images or labels; images and labels do not fit each other.
    """
    (path,) = options.outside_files().values()
    with _reading(path), zipfile.ZipFile(path) as archive:
        members = _members(path, archive)
        arrays = options.arrays or _find_layout(path, members)
        _check_members(path, members, arrays, options.size_limit_bytes)
        splits = [
            _read_split(path, archive, (members[images], members[labels]), options.classes)
            for images, labels in arrays.splits()
        ]
    train, test, *rest = splits
    validation = rest[0] if rest else None
    if validation and validation.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"{path}: validation images are {_times(validation.images.shape[1:])} but training "
            f"images {_times(train.images.shape[1:])}. Take both from one data set."
        )
    classes = options.classes or _label_texts(splits)
    return SourceData(train, test, classes, f"NumPy file {path.name}", validation)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except ARCHIVE_ERRORS as error:
        kind = kind_of(path)
        why = kind if kind not in (None, "a zip archive") else " ".join(str(error).split())
        raise DataError(
            f"{path}: no whole .npz archive ({why}). "
            "Download it again, or write it with numpy.savez_compressed."
        ) from error


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays of the archive by name."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    names = [info.filename.removesuffix(".npy") for info in infos]
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(
                f"{path}: {count} arrays have the name {name!r}. Write the file again with one."
            )
    return dict(zip(names, infos, strict=True))


def _find_layout(path: Path, members: dict[str, zipfile.ZipInfo]) -> Arrays:
    for layout in LAYOUTS:
        if layout.names() <= members.keys():
            return layout
    raise DataError(
        f"{path}: has the arrays {_listed(members)}, expected x_train, y_train, x_test, y_test or "
        "train_images, train_labels, test_images, test_labels. Name them in data.arrays."
    )


def _check_members(
    path: Path, members: dict[str, zipfile.ZipInfo], arrays: Arrays, limit: int
) -> None:
    """Holds what the archive declares against what may be, before anything is unpacked."""
    if missing := sorted(arrays.names() - members.keys()):
        raise DataError(
            f"{path}: has no array {missing[0]!r}, only {_listed(members)}. Correct data.arrays."
        )
    for name in sorted(arrays.names()):
        if members[name].compress_type not in PACKINGS:
            raise DataError(
                f"{path}: array {name!r} is packed as numpy.savez never does "
                f"(method {members[name].compress_type}). Write the file again with it."
            )
    size = sum(members[name].file_size for name in arrays.names())
    if size > limit:
        raise DataError(
            f"{path}: its arrays unpack to {size:,} bytes, expected at most {limit:,}. "
            "If they are real, raise data.size_limit_bytes."
        )


def _listed(members: dict[str, zipfile.ZipInfo]) -> str:
    shown = ", ".join(repr(name[:40]) for name in sorted(members)[:8]) or "none"
    return f"{shown} and {len(members) - 8} more" if len(members) > 8 else shown


def _read_split(
    path: Path,
    archive: zipfile.ZipFile,
    members: tuple[zipfile.ZipInfo, zipfile.ZipInfo],
    classes: tuple[str, ...] | None,
) -> LabelledImages:
    images_at, labels_at = (f"{path}: array {info.filename[:-4]!r}" for info in members)
    images = _as_images(images_at, read_array(images_at, archive, members[0]))
    num_classes = len(classes) if classes else MOST_CLASSES
    labels = _as_labels(labels_at, read_array(labels_at, archive, members[1]), num_classes)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_at} has {len(labels):,} labels for the {len(images):,} images of "
            f"{members[0].filename[:-4]!r}. Name the arrays of one split in data.arrays."
        )
    return LabelledImages(images, labels)


def _as_images(where: str, values: "np.ndarray") -> "np.ndarray":
    """Grey or colour images as uint8 (count, height, width, channels)."""
    import numpy as np

    if values.ndim == 4 and values.shape[1] in (1, 3) and values.shape[3] not in (1, 3):
        raise DataError(
            f"{where} is {_times(values.shape)}: channels stand first. "
            "Save numpy.moveaxis(images, 1, -1)."
        )
    if values.ndim not in (3, 4) or (values.ndim == 4 and values.shape[3] not in (1, 3)):
        raise DataError(
            f"{where} is {_times(values.shape)}, expected count×height×width, with ×1 or ×3 for "
            "channels. Reshape it, or name the right array in data.arrays."
        )
    if values.dtype != np.uint8:
        values = _as_uint8(where, values)
    return np.ascontiguousarray(values if values.ndim == 4 else values[..., None])


def _as_uint8(where: str, values: "np.ndarray") -> "np.ndarray":
    import numpy as np

    pixels = np.empty(values.shape, np.uint8)
    for index, image in enumerate(values):
        wrong = image[~((image >= 0) & (image <= 255) & (image == np.floor(image)))]
        if wrong.size:
            raise DataError(
                f"{where} has the value {wrong[0]} in image {index:,}, expected whole numbers "
                "0..255. Scale them to that range, round them and save them as uint8."
            )
        pixels[index] = image
    if pixels.max() <= 1:
        raise DataError(
            f"{where} has values of type {values.dtype} from 0 to 1, expected 0..255. "
            "Save them times 255 as uint8."
        )
    return pixels


def _as_labels(where: str, values: "np.ndarray", num_classes: int) -> "np.ndarray":
    if values.dtype.kind not in "ui" or values.shape not in ((values.size,), (values.size, 1)):
        raise DataError(
            f"{where} is {values.dtype} of {_times(values.shape)}, expected integers, one an "
            "image. Save the index of each image's class."
        )
    values = values.reshape(-1)
    wrong = ((values < 0) | (values >= num_classes)).nonzero()[0]
    if wrong.size:
        raise DataError(
            f"{where} has label {values[wrong[0]]} at position {wrong[0]:,}, expected "
            f"0..{num_classes - 1}. Correct the label, or name its class in data.classes."
        )
    return values.astype("int64")


def _label_texts(splits: list[LabelledImages]) -> tuple[str, ...]:
    return tuple(str(label) for label in range(max(int(s.labels.max()) for s in splits) + 1))


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one value"
