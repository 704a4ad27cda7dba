"""`learnt_ranges.json`: the ranges of numbers that a training found, for the int8 file to use."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from export.tflite.flatbuffer import operators, parse
from export.tflite.quantization.calibration import Range
from pipeline.core.errors import ExportError

FILE_NAME = "learnt_ranges.json"

Ends = tuple[float, float]
Learnt = tuple[str, Ends]
"""The kind of an operator of the TFLite file, and the least and largest number that it gives."""


def write(learnt: Sequence[Learnt], folder: Path) -> None:
    """Into a train artifact, beside its model."""
    rows = [{"operator": kind, "low": low, "high": high} for kind, (low, high) in learnt]
    (folder / FILE_NAME).write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", "utf-8")


def in_place_of(observed: Mapping[str, Range], prepared: bytes, folder: Path) -> dict[str, Range]:
    """Ranges with those that training learnt, if it did, in place of those that were observed.

    Args:
        observed: see `ranges.observe`.
        prepared: the float32 model that they are of.
        folder: the train artifact.

    Raises:
        ExportError: training learnt them for other operators than the model has.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return dict(observed)
    rows = json.loads(path.read_text("utf-8"))
    # The converter leaves out some of these, and they have the range of what comes in.
    found = [o for o in operators(parse(prepared)) if o.kind != "RESHAPE"]
    expected, kinds = [row["operator"] for row in rows], [operator.kind for operator in found]
    if kinds != expected:
        raise ExportError(
            f"{path}: has ranges for {', '.join(expected)}, but the model became "
            f"{', '.join(kinds)}; to use the ranges of calibration images instead, set "
            "export.calibration.method=percentile"
        )
    learnt = {
        operator.name: replace(observed[operator.name], low=row["low"], high=row["high"])
        for operator, row in zip(found, rows, strict=True)
    }
    return {**observed, **learnt}
