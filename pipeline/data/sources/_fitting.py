"""Which source reads a file or folder, where the one that was asked does not."""

import gzip
import shlex
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.content import HEAD_BYTES, kind_of_bytes
from pipeline.core.errors import DataError
from pipeline.data.images.decoding import SUFFIXES

TABLES = (".csv", ".tsv")
SAVE = "save images and labels together with numpy.savez_compressed"
NUMPY = b"\x93NUMPY"
IDX = (b"\x00\x00\x08\x01", b"\x00\x00\x08\x03")


@dataclass(frozen=True)
class Fitting:
    """What a file is, and how it is read.

    Attributes:
        source: the one that reads it; empty where none does as it is.
        kind: such as `an IDX file`.
        remedy: a sentence.
    """

    source: str
    kind: str
    remedy: str


def refuse_foreign(path: Path, source: str, expected: str) -> None:
    """Refuses a file that another source reads, by its first bytes or its ending.

    Raises:
        DataError: it is one.
    """
    found = fitting(path)
    if found and found.source != source:
        raise DataError(f"{path}: is {found.kind}, expected {expected}. {found.remedy}")


def no_file(path: Path, option: str) -> DataError:
    """That a file is missing, or is a folder."""
    if path.is_dir():
        return DataError(
            f"{path}: is a folder, expected a file. Set data.{option} to a file in it; a folder of "
            f"pictures is read with {_settings('image_folder', folder=path)}."
        )
    return DataError(f"{path}: no such file. Put it there, or set data.{option}.")


def no_folder(path: Path) -> DataError:
    """That `data.folder` is missing, or is a file."""
    if not path.is_file():
        return DataError(f"{path}: no such folder. Put it there, or set data.folder.")
    found = fitting(path)
    kind = found.kind if found else _kind(path) or "a file"
    remedy = found.remedy if found else "Set data.folder to the folder that holds the images."
    if kind.endswith("archive"):
        remedy = "Unpack it, and set data.folder to what comes out."
    return DataError(f"{path}: is {kind}, expected a folder. {remedy}")


def fitting_beside(folder: Path, names: Iterable[str], *sources: str) -> str:
    """What the first file is that one of these sources reads, in words; empty if there is none."""
    found = ((name, fitting(folder / name)) for name in names)
    told = (f"{name} is {f.kind}. {f.remedy}" for name, f in found if f and f.source in sources)
    return next(told, "")


def fitting(path: Path) -> Fitting | None:
    """What a file is and which source reads it; None where that is not known."""
    head = _head(path)
    if head.startswith(NUMPY):
        told = f"It holds one array; {SAVE}, and read that with data.source=npz data.file=…"
        return Fitting("", "a NumPy file of one array, .npy", told)
    if head.startswith(IDX):
        return _read_by("idx", "an IDX file", folder=path.parent)
    kind = kind_of_bytes(head)
    if kind == "a zip archive":
        return _of_zip(path)
    name = path.name.lower()
    if kind is None and name.removesuffix(".gz").endswith(TABLES):
        delimiter = {"delimiter": r'"\t"'} if ".tsv" in name else {}
        return _read_by("csv", "a CSV table", train_file=path, test_fraction=0.2, **delimiter)
    if kind is None and name.endswith(SUFFIXES):
        told = "Set data.source=image_folder and data.folder to what holds a folder for each class."
        return Fitting("image_folder", "a picture", told)
    return None


def _of_zip(path: Path) -> Fitting | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if _any_ends(names, ".npy"):
        return _read_by("npz", "a file of NumPy arrays, .npz", file=path)
    if "xl/workbook.xml" in names:
        return Fitting("", "an Excel workbook", "Save its sheet as CSV, and name that file.")
    if _any_ends(names, SUFFIXES):
        told = "Unpack it, and set data.source=image_folder data.folder=… to what comes out."
        return Fitting("", "a zip archive of pictures", told)
    return None


def _any_ends(names: Iterable[str], endings: str | tuple[str, ...]) -> bool:
    return any(name.lower().endswith(endings) for name in names)


def _read_by(source: str, kind: str, **settings: object) -> Fitting:
    return Fitting(source, kind, f"Read it with {_settings(source, **settings)}.")


def _settings(source: str, **settings: object) -> str:
    return shlex.join(
        [f"data.source={source}", *(f"data.{name}={value}" for name, value in settings.items())]
    )


def _kind(path: Path) -> str | None:
    return kind_of_bytes(_head(path))


def _head(path: Path) -> bytes:
    """The first bytes, unpacked where they are gzipped; none where they cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unpacked:
                head = unpacked.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""
    return head
