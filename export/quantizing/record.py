"""`quantization.json`: how each quantised format was made, by format."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from export.formats import readable_size

FILE_NAME = "quantization.json"

Records = dict[str, dict[str, Any]]


def note(record: Mapping[str, Any], workspace: Path, format_name: str) -> None:
    """Leaves what a child process knows of a format in the workspace."""
    _noted(workspace, format_name).write_text(json.dumps(record, allow_nan=False), "utf-8")


def _noted(workspace: Path, format_name: str) -> Path:
    return workspace / f"{format_name}.{FILE_NAME}"


def gather(workspace: Path, format_names: Iterable[str], folder: Path) -> Records:
    """Writes what was noted of these formats into an artifact, as one file."""
    noted = {name: _noted(workspace, name) for name in format_names}
    records = {name: json.loads(p.read_text("utf-8")) for name, p in noted.items() if p.exists()}
    text = json.dumps(records, indent=1, allow_nan=False)
    (folder / FILE_NAME).write_text(text + "\n", "utf-8")
    return records


def read(folder: Path) -> Records:
    """Of an artifact; an artifact of before this file was has none."""
    path = folder / FILE_NAME
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def in_words(records: Records) -> str:
    """Accuracy against size for each try of a format that took more than one; else nothing."""
    return ". ".join(
        f"{name}: " + "; ".join(_try_in_words(attempt) for attempt in record["tries"])
        for name, record in records.items()
        if len(record["tries"]) > 1
    )


def _try_in_words(attempt: Mapping[str, Any]) -> str:
    precisions = dict.fromkeys(attempt["kept"].values())
    count = len(attempt["kept"])
    kept = f"{count} layer{'s' * (count > 1)} in {' and '.join(precisions)}"
    way = kept if count else f"every layer, by {attempt['engine']}"
    if attempt["failure"]:
        return f"{way}, failed ({attempt['failure']})"
    lost, size = attempt["drop_points"], readable_size(attempt["size_bytes"])
    return f"{way}, loses {lost:.2f} points on validation images at {size}"
