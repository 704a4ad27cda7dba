"""`files.csv` of an ingest artifact: the file that each image of each split came from."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

FILE_NAME = "files.csv"
COLUMNS = ("split", "index", "file")


def write(folder: Path, names: Mapping[str, Iterable[str]]) -> None:
    """Writes one row an image, or no file where no split has names.

    Args:
        folder: the artifact.
        names: of the files, printable, in the order of the images, by split.
    """
    if not names:
        return
    with (folder / FILE_NAME).open(
        "w", encoding="utf-8", errors="backslashreplace", newline=""
    ) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for split, files in names.items():
            writer.writerows((split, index, name) for index, name in enumerate(files))


def read(folder: Path, split: str) -> tuple[str, ...] | None:
    """The names of a split's files in the order of its images; None if they came from no files."""
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(name for of_row, _, name in csv.reader(file) if of_row == split) or None
