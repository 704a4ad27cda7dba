"""`quantization.json`: how each quantised format was made, by format."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from export.formats.format import readable_size
from pipeline.core.text import count_of

FILE_NAME = "quantization.json"

DENSE_SCALES = {
    "": "",
    "one": " with one scale a dense kernel",
    "channel": " with a scale a channel",
}

Records = dict[str, dict[str, Any]]


def note(record: Mapping[str, Any], workspace: Path, format_name: str) -> None:
    """Leaves what a child process knows of a format in the workspace.

    What is infinite or nan becomes null: JSON has no such number, and a record loses no file.
    """
    text = json.dumps(_in_json(record), allow_nan=False)
    _note_path(workspace, format_name).write_text(text, "utf-8")


def _in_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_json(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _note_path(workspace: Path, format_name: str) -> Path:
    return workspace / f"{format_name}.{FILE_NAME}"


def gather(workspace: Path, format_names: Iterable[str], folder: Path) -> Records:
    """Writes what was noted of these formats into an artifact, as one file."""
    noted = {name: _note_path(workspace, name) for name in format_names}
    records = {name: json.loads(p.read_text("utf-8")) for name, p in noted.items() if p.exists()}
    text = json.dumps(records, indent=1, allow_nan=False)
    (folder / FILE_NAME).write_text(text + "\n", "utf-8")
    return records


def read(folder: Path) -> Records:
    """Of an artifact; an artifact of before this file was has none."""
    path = folder / FILE_NAME
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def in_words(records: Records) -> str:
    """Of each format that took more than one try: what the first lost, and which was taken.

    And the first layer of it that answers some image by no number at all.
    """
    several = [
        f"{name} took {len(record['tries'])} tries: {_way(record)}"
        for name, record in records.items()
        if len(record["tries"]) > 1
    ]
    return ". ".join((*several, *_without_number(records)))


def _without_number(records: Records) -> Iterator[str]:
    for name, record in records.items():
        layers = [x for x in record.get("layers", ()) if x.get("images_without_number")]
        if layers:
            count, of = layers[0]["images_without_number"], record["layer_images"]
            yield (
                f"{name}: the layer {layers[0]['name']} ({layers[0]['kind']}) gives no number "
                f"(nan or infinite) on {count} of {of} validation images"
            )


def _way(record: Mapping[str, Any]) -> str:
    first, taken = record["tries"][0], record["tries"][record["chosen"]]
    if taken is first:
        return f"none did better than the first, {_try_in_words(first)}"
    return f"{_try_in_words(first)}; taken was {_try_in_words(taken)}"


def _try_in_words(attempt: Mapping[str, Any]) -> str:
    precisions = dict.fromkeys(attempt["kept"].values())
    kept = f"{count_of(len(attempt['kept']), 'layer')} in {' and '.join(precisions)}"
    scales = DENSE_SCALES[attempt["dense_scales"]]
    way = kept if attempt["kept"] else f"every layer{scales}, by {attempt['engine']}"
    if attempt["failure"]:
        return f"{way}, failed ({attempt['failure']})"
    lost, size = attempt["drop_points"], readable_size(attempt["size_bytes"])
    return f"{way}, loses {lost:.2f} points on validation images at {size}"
