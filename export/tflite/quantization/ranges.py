"""Which range of real numbers each tensor of a model takes: on images, or as training learnt it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.tflite.flatbuffer import operators, parse, text, unread_outputs
from export.tflite.interpreter import Run
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import numpy as np
    from ai_edge_litert.schema_py_generated import ModelT

BINS = 8192
# So that stored pixels are the pixels, and 256 steps of probability fit 8 bits.
PIXELS, PROBABILITIES = (0.0, 255.0), (0.0, 255 / 256)
LEARNT_FILE_NAME = "learnt_ranges.json"

Ends = tuple[float, float]
Learnt = tuple[str, Ends]
"""The kind of an operator of the TFLite file, and the least and largest number that it gives."""


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included; `rank` is the tensor's number of dimensions."""

    low: float
    high: float
    rank: int


def observe(
    model: bytes, images: "np.ndarray", percentile: float | None = None
) -> Mapping[str, Range]:
    """Runs a float model and notes the range of its input and of each operator's output.

    What is infinite or nan counts in no range.

    Args:
        model: a TFLite file in float32.
        images: uint8 (count, height, width, channels).
        percentile: leaves out as many of the highest and of the lowest numbers of each tensor
            as are beyond this percentile; none counts all of them.

    Returns:
        Ranges by the tensor's name. All hold 0, which quantised numbers must be able to be.
    """
    parsed, run = parse(model), Run(model, keeps_all=True)
    inside = _inside(parsed)
    found = _extremes(run, inside, images)
    if percentile is not None:
        found = _percentiles(run, inside, images, found, percentile)
    ranks = {name: run.real(index).ndim for name, index in inside.items()}
    ranges = {name: Range(*ends, ranks[name]) for name, ends in found.items()}
    (graph,) = parsed.subgraphs
    for unread, sibling in unread_outputs(parsed):
        ranges[text(graph.tensors[unread].name)] = ranges[text(graph.tensors[sibling].name)]
    (taken,), (given,) = graph.inputs, graph.outputs
    ranges[text(graph.tensors[taken].name)] = Range(*PIXELS, images.ndim)
    ranges[text(graph.tensors[given].name)] = Range(*PROBABILITIES, 2)
    return ranges


def _inside(model: "ModelT") -> dict[str, int]:
    """Indices of the tensors that operators give, by name, but for those that nothing reads."""
    tensors, unread = model.subgraphs[0].tensors, {index for index, _ in unread_outputs(model)}
    given = (index for operator in operators(model) for index in operator.outputs)
    return {text(tensors[index].name): index for index in given if index not in unread}


def _values(
    run: Run, inside: Mapping[str, int], images: "np.ndarray"
) -> Iterator[tuple[str, "np.ndarray"]]:
    import numpy as np

    for image in images:
        run.invoke(image)
        for name, index in inside.items():
            values = run.real(index)
            yield name, values[np.isfinite(values)]


def _extremes(run: Run, inside: Mapping[str, int], images: "np.ndarray") -> dict[str, Ends]:
    ends = dict.fromkeys(inside, (0.0, 0.0))
    for name, values in _values(run, inside, images):
        low, high = ends[name]
        ends[name] = float(values.min(initial=low)), float(values.max(initial=high))
    return ends


def _percentiles(
    run: Run,
    inside: Mapping[str, int],
    images: "np.ndarray",
    ends: Mapping[str, Ends],
    percentile: float,
) -> dict[str, Ends]:
    """Counts all numbers in bins between the extremes, since they are too many to be kept."""
    import numpy as np

    counts = {name: np.zeros(BINS, np.int64) for name in inside}
    for name, values in _values(run, inside, images):
        counts[name] += np.histogram(values, BINS, ends[name])[0]
    return {name: _inner(counts[name], ends[name], percentile) for name in inside}


def _inner(counts: "np.ndarray", ends: Ends, percentile: float) -> Ends:
    import numpy as np

    edges = np.linspace(*ends, BINS + 1)
    outside = (1 - percentile / 100) * counts.sum()
    low = edges[np.searchsorted(np.cumsum(counts), outside, "right")]
    high = edges[BINS - np.searchsorted(np.cumsum(counts[::-1]), outside, "right")]
    return min(float(low), 0.0), max(float(high), 0.0)


def write_learnt(learnt: Sequence[Learnt], folder: Path) -> None:
    """Into a train artifact, beside its model."""
    rows = [{"operator": kind, "low": low, "high": high} for kind, (low, high) in learnt]
    (folder / LEARNT_FILE_NAME).write_text(
        json.dumps(rows, indent=1, allow_nan=False) + "\n", "utf-8"
    )


def with_learnt(
    observed: Mapping[str, Range], prepared: bytes, folder: Path
) -> Mapping[str, Range]:
    """Observed ranges of a prepared model, and in their place those that its training learnt.

    Args:
        observed: see `observe`.
        prepared: the float32 model that they are of.
        folder: the train artifact; what was trained without such ranges has none there.

    Raises:
        ExportError: training learnt them for other operators than the model has.
    """
    path = folder / LEARNT_FILE_NAME
    if not path.exists():
        return observed
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
