"""`failures.json`: which formats could not be written, and why."""

import json
from collections.abc import Mapping
from pathlib import Path

FILE_NAME = "failures.json"


def write(reasons: Mapping[str, str], folder: Path) -> None:
    (folder / FILE_NAME).write_text(json.dumps(reasons, indent=2) + "\n", "utf-8")


def read(folder: Path) -> dict[str, str]:
    """The reason by format; empty if all were written."""
    reasons: dict[str, str] = json.loads((folder / FILE_NAME).read_text("utf-8"))
    return reasons
