"""Reads images and labels from the arrays of one NumPy file, `.npz`."""

import math
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.schema import ClassNames, DataSection, OutsidePath, Section
from pipeline.core.content import kind_of
from pipeline.core.errors import DataError
from pipeline.core.text import quoted, times
from pipeline.data.images.types import DrawnTest, LabelledImages, SourceData
from pipeline.data.sources._class_names import classes_of, late_count, refuse_no_classes
from pipeline.data.sources._csv_pixels import ImageShape, square_of
from pipeline.data.sources._fitting import no_file, refuse_foreign
from pipeline.data.sources._npy import read_array
from pipeline.data.sources._pixel_range import as_bytes

if TYPE_CHECKING:
    import numpy as np

MOST_CLASSES = 2**16
# Of MedMNIST, of keras.datasets, and what people write after these and scikit-learn.
SPLIT_NAMES = (
    ("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"), ("X_{}", "Y_{}"),
    ("{}_x", "{}_y"), ("{}_X", "{}_y"), ("{}_data", "{}_labels"),
)  # fmt: skip
UNSPLIT_NAMES = (
    ("X", "y"), ("x", "y"), ("X", "Y"), ("images", "labels"), ("data", "target"),
    ("data", "labels"), ("images", "target"), ("image", "label"), ("arr_0", "arr_1"),
)  # fmt: skip
OTHER_SPLITS = {"test": ("test",), "validation": ("val", "valid", "validation")}
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises, by its source, where an archive is damaged or made to harm.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, RuntimeError,
    ValueError,
)  # fmt: skip


class Arrays(Section):
    """The name of each array in the file; without those of a split, training gives some up.

    Attributes:
        train_images: the array of training images.
        train_labels: the array of their labels.
        test_images: the array of test images.
        test_labels: the array of their labels.
        validation_images: the array of validation images.
        validation_labels: the array of their labels.
    """

    train_images: str
    train_labels: str
    test_images: str | None = None
    test_labels: str | None = None
    validation_images: str | None = None
    validation_labels: str | None = None

    @model_validator(mode="after")
    def _splits_are_whole(self) -> "Arrays":
        for split in ("test", "validation"):
            images, labels = f"{split}_images", f"{split}_labels"
            if (getattr(self, images) is None) != (getattr(self, labels) is None):
                raise ValueError(f"give both {images} and {labels}, or neither")
        return self

    def names(self) -> set[str]:
        return {name for name in self.model_dump().values() if name is not None}

    def splits(self) -> Iterator[tuple[str, str, str]]:
        """The name, images and labels of each split that there is."""
        for split in ("train", "test", "validation"):
            images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
            if images and labels:
                yield split, images, labels


def _layouts(names: Set[str]) -> Iterator[Arrays]:
    """Usual names of training arrays that are there, with each other split that is named so too."""
    split = [((x.format("train"), y.format("train")), [(x, y)]) for x, y in SPLIT_NAMES]
    for train, usual in [*split, *((pair, SPLIT_NAMES) for pair in UNSPLIT_NAMES)]:
        if not names >= set(train):
            continue
        found = {"train": train}
        for other, spellings in OTHER_SPLITS.items():
            for spelling, (images, labels) in product(spellings, usual):
                pair = images.format(spelling), labels.format(spelling)
                if names >= set(pair):
                    found.setdefault(other, pair)
        yield Arrays(
            **{f"{name}_images": pair[0] for name, pair in found.items()},
            **{f"{name}_labels": pair[1] for name, pair in found.items()},
        )


class Options(DataSection):
    """Which file, and which of its arrays.

    Attributes:
        file: a file of NumPy arrays, `.npz`.
        arrays: names in the file; None finds those of `keras.datasets` files (`x_train`,
            `y_train`, `x_test`, `y_test`), of MedMNIST (`train_images`, `val_images`, …) and of
            images that are not split (`X` and `y`, `images` and `labels`, `data` and `target`).
            With validation arrays, no share of the training images is drawn for validation.
        test_fraction: share of each class that becomes the test split, where there is none.
        split_seed: draws that share; apart from `seed`, so that all seeds have one test split.
        image_shape: height, width and channels of images that stand as rows of pixels; a square of
            1 or 3 channels where None.
        classes: names in label order; the labels themselves where None. Labels are whole numbers
            from 0 on, texts, or a row for each image with a 1 in the place of its class.
        size_limit_bytes: what the arrays may take in memory, all together.
    """

    source: Literal["npz"] = "npz"
    file: OutsidePath
    arrays: Arrays | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    image_shape: ImageShape | None = None
    classes: ClassNames | None = None
    size_limit_bytes: Annotated[int, Field(ge=1)] = 2**32

    def outside_files(self) -> dict[str, Path]:
        if not self.file.is_file():
            raise no_file(self.file, "file")
        refuse_foreign(self.file, "npz", "a file of NumPy arrays, .npz")
        return {self.file.name: self.file}


@dataclass(frozen=True)
class _Split:
    """What two arrays hold.

    Attributes:
        where: the array of labels, for errors.
        images: uint8 (count, height, width, channels).
        labels: int64 (count,), the numbers there, or places in `texts`.
        texts: each label once, where these are texts.
        num_classes: how many the labels tell apart: the columns of a row of marks.
    """

    where: str
    images: "np.ndarray"
    labels: "np.ndarray"
    texts: tuple[str, ...] | None = None
    num_classes: int = 0

    def places(self) -> Iterator[tuple[str, str]]:
        """Each text, and where it stands first."""
        for number, text in enumerate(self.texts or ()):
            position = int((self.labels == number).argmax())
            yield text, f"{self.where}: the label at position {position:,}"


def load(options: Options) -> SourceData:
    """Reads the splits that the file holds; its own validation split, where it has one, is kept.

    Raises:
        DataError: the file is missing, damaged or no `.npz`; an array is missing, too large, or
            no images or labels; images and labels do not fit each other.
    """
    (path,) = options.outside_files().values()
    with _reading(path):
        archive = zipfile.ZipFile(path)
    with archive:
        members = _members(path, archive)
        arrays = options.arrays or _find_layout(path, members)
        _refuse_test(path, arrays, options)
        _refuse_members(path, members, arrays, options.size_limit_bytes)
        found = {
            split: _read_split(path, archive, (members[images], members[labels]), options)
            for split, images, labels in arrays.splits()
        }
    splits, classes = _with_classes(path, found, options.classes)
    train, validation = splits["train"], splits.get("validation")
    if validation and validation.images.shape[1:] != train.images.shape[1:]:
        raise DataError(
            f"{path}: validation images are {times(validation.images.shape[1:])} but training "
            f"images {times(train.images.shape[1:])}. Take both from one data set."
        )
    test = splits.get("test") or DrawnTest(options.test_fraction or 0, options.split_seed)
    return SourceData(train, test, classes, f"NumPy file {path.name}", validation)


def _mixed(texts: _Split) -> DataError:
    return DataError(
        f"{texts.where} holds texts, and other labels are numbers. Save one kind of them."
    )


def _refuse_test(path: Path, arrays: Arrays, options: Options) -> None:
    if arrays.test_images is None and options.test_fraction is None:
        raise DataError(
            f"{path}: has no test arrays beside {arrays.train_images!r} and "
            f"{arrays.train_labels!r}. Set data.test_fraction=0.2 to draw some of these, or name "
            "them in data.arrays."
        )
    if arrays.test_images is not None and options.test_fraction is not None:
        raise DataError(
            f"{path}: has test images in {arrays.test_images!r}, and data.test_fraction says to "
            "draw some. Leave data.test_fraction out, or name the training arrays alone in "
            "data.arrays."
        )


def _with_classes(
    path: Path, found: dict[str, _Split], given: tuple[str, ...] | None
) -> tuple[dict[str, LabelledImages], tuple[str, ...]]:
    """The splits with an index into the classes for each image; labels of all may be texts."""
    import numpy as np

    texts = {text for part in found.values() for text in part.texts or ()}
    if not texts:
        _refuse_late_labels(found)
        splits = {split: LabelledImages(part.images, part.labels) for split, part in found.items()}
        return splits, given or tuple(map(str, range(max(p.num_classes for p in found.values()))))
    if given is None:
        refuse_no_classes({text: place for part in found.values() for text, place in part.places()})
    names, indices = classes_of(texts, given)
    splits = {}
    for split, part in found.items():
        if part.texts is None:
            raise _mixed(next(p for p in found.values() if p.texts is not None))
        if unknown := [text for text in part.texts if text not in indices]:
            raise DataError(
                f"{part.where} has label {unknown[0]!r}, expected a name of data.classes. "
                "Correct the label, or add its class."
            )
        labels = np.array([indices[text] for text in part.texts], np.int64)[part.labels]
        splits[split] = LabelledImages(part.images, labels)
    return splits, names


def _refuse_late_labels(found: dict[str, _Split]) -> None:
    """Refuses numbers that count from another than 0 on, in all splits."""
    lowest = min(part.labels.min(initial=MOST_CLASSES) for part in found.values())
    if 0 < lowest < MOST_CLASSES:
        raise DataError(
            f"{found['train'].where}: labels begin at {lowest}, expected 0."
            f"{late_count(lowest, lowest, 1)} If it is not, add images of class 0."
        )


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
    """That of most splits; of two, the one with test arrays, then the first."""
    layouts = list(_layouts(members.keys()))
    if layouts:
        return max(
            layouts, key=lambda arrays: (arrays.test_images is not None, len(arrays.names()))
        )
    raise DataError(
        f"{path}: has the arrays {quoted(sorted(members))}, expected x_train, y_train, x_test, "
        "y_test or train_images, train_labels, test_images, test_labels, or X, y with "
        "data.test_fraction. Name them in data.arrays."
    )


def _refuse_members(
    path: Path, members: dict[str, zipfile.ZipInfo], arrays: Arrays, limit: int
) -> None:
    """Holds what the archive declares against what may be, before anything is unpacked."""
    if missing := sorted(arrays.names() - members.keys()):
        raise DataError(
            f"{path}: has no array {missing[0]!r}, only {quoted(sorted(members))}. Correct "
            "data.arrays."
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


def _read_split(
    path: Path,
    archive: zipfile.ZipFile,
    members: tuple[zipfile.ZipInfo, zipfile.ZipInfo],
    options: Options,
) -> _Split:
    images_at, labels_at = (f"{path}: array {info.filename[:-4]!r}" for info in members)
    with _reading(path):
        pixels = read_array(images_at, archive, members[0])
        values = read_array(labels_at, archive, members[1], may_be_text=True)
    images = _as_images(images_at, pixels, options)
    texts, num_classes = None, 0
    if values.dtype.kind in "US":
        texts, labels = _as_texts(labels_at, values)
    else:
        labels, num_classes = _as_labels(labels_at, values, options.classes)
    if len(images) != len(labels):
        raise DataError(
            f"{labels_at} has {len(labels):,} labels for the {len(images):,} images of "
            f"{members[0].filename[:-4]!r}. Name the arrays of one split in data.arrays."
        )
    return _Split(labels_at, images, labels, texts, num_classes)


def _as_images(where: str, values: "np.ndarray", options: Options) -> "np.ndarray":
    """Grey or colour images as uint8 (count, height, width, channels)."""
    import numpy as np

    if values.ndim == 2:
        shape = options.image_shape or square_of(values.shape[1])
        if shape is not None and math.prod(shape) == values.shape[1]:
            values = values.reshape(-1, *shape)
    elif options.image_shape not in (None, values.shape[1:], (*values.shape[1:], 1)):
        raise DataError(
            f"{where} is {times(values.shape)}, and data.image_shape says "
            f"{times(options.image_shape)}. That is for rows of pixels; leave it out."
        )
    if values.ndim == 4 and values.shape[1] in (1, 3) and values.shape[3] not in (1, 3):
        raise DataError(
            f"{where} is {times(values.shape)}: channels stand first. "
            "Save numpy.moveaxis(images, 1, -1)."
        )
    if values.ndim not in (3, 4) or (values.ndim == 4 and values.shape[3] not in (1, 3)):
        raise DataError(
            f"{where} is {times(values.shape)}, expected count×height×width, with ×1 or ×3 for "
            "channels. Reshape it, name the right array in data.arrays, or set data.image_shape "
            "for rows of pixels."
        )
    values = as_bytes(where, values, options.pixel_range)
    return np.ascontiguousarray(values if values.ndim == 4 else values[..., None])


def _as_texts(where: str, values: "np.ndarray") -> tuple[tuple[str, ...], "np.ndarray"]:
    """Each text once, and for each image its place among them: int64 (count,)."""
    import numpy as np

    if values.shape not in ((values.size,), (values.size, 1)):
        raise DataError(f"{where} is {times(values.shape)}, expected one text an image.")
    found, places = np.unique(values.reshape(-1), return_inverse=True)
    try:
        texts = [text.decode() if isinstance(text, bytes) else text for text in found.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} holds the bytes {error.object[:40]!r}, expected texts in UTF-8. Save "
            "them as str, such as numpy.char.decode(labels, 'latin-1')."
        ) from error
    return tuple(texts), places.astype(np.int64)


def _as_labels(
    where: str, values: "np.ndarray", classes: tuple[str, ...] | None
) -> tuple["np.ndarray", int]:
    """Labels as int64 (count,), and how many classes they tell apart."""
    num_classes, width = len(classes) if classes else MOST_CLASSES, 0
    if values.ndim == 2 and values.shape[1] > 1 and _is_one_hot(values):
        width = values.shape[1]
        if classes and width != len(classes):
            raise DataError(
                f"{where} has {width} columns, one a class, and data.classes names "
                f"{len(classes)}. Name as many classes."
            )
        values = values.argmax(axis=1)
    if values.shape not in ((values.size,), (values.size, 1)):
        raise DataError(
            f"{where} is {values.dtype} of {times(values.shape)}, expected integers, one an "
            "image, or a row an image with a 1 in the place of its class. Save the index of each "
            "image's class."
        )
    values = values.reshape(-1)
    broken = (values != values.round()).nonzero()[0] if values.dtype.kind == "f" else values[:0]
    if broken.size:
        remedy = ". Save the index of each image's class, or its name."
        if math.isnan(values[broken[0]]):
            remedy = (
                ", for it stands for a label that is missing. Write the class, or leave the image "
                "out; if it is a class, save texts, and name all in data.classes."
            )
        raise DataError(
            f"{where} has label {values[broken[0]]} at position {broken[0]:,}, expected whole "
            f"numbers or texts{remedy}"
        )
    wrong = ((values < 0) | (values >= num_classes)).nonzero()[0]
    if wrong.size:
        raise DataError(
            f"{where} has label {values[wrong[0]]} at position {wrong[0]:,}, expected "
            f"0..{num_classes - 1}. Correct the label, or name its class in data.classes."
            f"{late_count(values.min(), values.max(), num_classes)}"
        )
    return values.astype("int64"), width or int(values.max()) + 1


def _is_one_hot(values: "np.ndarray") -> bool:
    is_mark = (values == 0) | (values == 1)
    return bool(is_mark.all() and (values.sum(axis=1) == 1).all())
