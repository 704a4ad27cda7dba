"""What lies in folders that other runs are changing."""

import os
from contextlib import suppress
from pathlib import Path


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in order; nothing where it is not there.

    Unlike glob(), never nothing because it cannot be read, and no error where a rival removes the
    folder, as an empty one, at that moment.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def size_of(path: Path) -> int:
    """Bytes of a file or of all files below a folder; a link counts for itself, what is gone 0."""
    below = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    total = 0
    for file in below if is_folder(path) else [path]:
        with suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total
