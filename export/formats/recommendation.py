"""Which of the verified formats to ship: those that fit, those that nothing beats, and one pick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.formats.format import formats, readable_size

if TYPE_CHECKING:
    from export.formats.contract import Contract
    from export.formats.verdict import FormatVerdict, Micro

# Accuracies this near to each other are as good as equal: 10 of MNIST's 10,000 test images.
AS_ACCURATE_POINTS = 0.1
# Times within this factor of each other may change places when they are taken again.
AS_FAST = 1.3
# Where most formats have a p95 of more than so many times their p50, other work ran beside them.
BUSY = 3
PHONES = ("android", "ios")
# Where libraries read ONNX files that want channels first.
READERS_OF_NCHW = ("android", "ios", "server")


def _size(row: "FormatVerdict") -> float:
    return row.size_bytes or 0


def _latency(row: "FormatVerdict") -> float:
    return row.latency_p50_ms or 0.0


COSTS = {"smallest": _size, "fastest": _latency}
# Kinds of machines, and what counts most there among formats that are as accurate.
TARGETS = {
    "microcontroller": "smallest",
    "android": "fastest",
    "ios": "fastest",
    "browser": "smallest",
    "server": "fastest",
}


@dataclass(frozen=True)
class Limits:
    """What a user can bear.

    Attributes:
        max_kb: size of the file, of 1,000 bytes.
        max_ms: median time of one image, as `verify` measured it.
        min_accuracy: on the test split, 0..1.
    """

    max_kb: float | None = None
    max_ms: float | None = None
    min_accuracy: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A format.

    Attributes:
        row: its figures.
        obstacle: why it cannot be taken; empty if it can.
        is_unbeaten: whether no other is at least as good in accuracy, size and time, and better
            in one: whether it lies on the Pareto front.
    """

    row: "FormatVerdict"
    obstacle: str = ""
    is_unbeaten: bool = False


@dataclass(frozen=True)
class Recommendation:
    """What to ship.

    Attributes:
        candidates: all formats.
        pick: the one to take, if there is one.
        reason: why, in a sentence.
        was_busy: whether the times spread as on a machine that does other work too.
    """

    candidates: tuple[Candidate, ...]
    pick: str | None
    reason: str
    was_busy: bool


def recommend(rows: "Sequence[FormatVerdict]", target: str, limits: Limits) -> Recommendation:
    """Picks among formats.

    Those that failed, that have no runtime on the target or that break a limit are out. Of the
    others, all within 0.1 points of the most accurate are as good; the smallest of them is the
    pick for a microcontroller and a browser. Elsewhere it is the fastest, or the smallest of
    those that take at most 1.3 times as long.
    """
    obstacles = {row.name: _obstacle(row, target, limits) for row in rows}
    fit = [row for row in rows if not obstacles[row.name]]
    candidates = tuple(
        Candidate(row, obstacles[row.name], row in fit and not _is_beaten(row, fit)) for row in rows
    )
    if not fit:
        return Recommendation(candidates, None, _none_fits(candidates, target), _was_busy(rows))
    return Recommendation(candidates, *_pick(fit, target), _was_busy(rows))


def remarks(promised: "Contract", result: Recommendation, target: str) -> tuple[str, ...]:
    """What to know of the files that fit, for whoever ships one to a target."""
    fit = [c.row.name for c in result.candidates if not c.obstacle]
    files = {name: known for name, known in promised.formats.items() if name in fit}
    found = []
    onnx = [name for name, known in files.items() if known.file.endswith(".onnx")]
    any_batch = [name for name in onnx if files[name].batch == "N"]
    if target in PHONES and any_batch:
        found.append(
            f"{' and '.join(any_batch)}: for any number of images, so that ONNX Runtime leaves "
            "NNAPI and CoreML out; export.onnx.batch=1 lets them run the file (CoreML the float32 "
            "one alone)"
        )
    channels_last = [name for name in onnx if files[name].input.layout is None]
    if target in READERS_OF_NCHW and channels_last:
        found.append(
            f"{' and '.join(channels_last)}: channels last; for OpenCV's blobs, MNN or onnx2tf "
            "export.onnx.layout=nchw"
        )
    return tuple(found)


def _was_busy(rows: "Sequence[FormatVerdict]") -> bool:
    times = [(row.latency_p50_ms, row.latency_p95_ms) for row in rows]
    spread = [p95 > BUSY * p50 for p50, p95 in times if p50 is not None and p95 is not None]
    return 2 * sum(spread) > len(spread)


def _obstacle(row: "FormatVerdict", target: str, limits: Limits) -> str:
    if not row.passed:
        return "failed verification"
    if target not in formats()[row.name].targets:
        return f"no runtime for {target}"
    if target == "microcontroller" and not (row.micro and row.micro.has_run):
        return _not_run(row.micro)
    size, latency, accuracy = _size(row), _latency(row), _accuracy(row)
    if limits.max_kb is not None and size > 1000 * limits.max_kb:
        return f"{size / 1000:.1f} kB is over {limits.max_kb:g}"
    if limits.max_ms is not None and latency > limits.max_ms:
        return f"over {limits.max_ms:g} ms"
    if limits.min_accuracy is not None and accuracy < limits.min_accuracy:
        return f"under {limits.min_accuracy:.2%}"
    return ""


def _not_run(micro: "Micro | None") -> str:
    if micro is None:
        return "not asked in TensorFlow Lite Micro"
    if micro.absence:
        return "not run in TensorFlow Lite Micro, which the machine that verified lacks"
    return "refused by TensorFlow Lite Micro"


def _none_fits(candidates: Sequence[Candidate], target: str) -> str:
    """What is in the way of each format that there is a runtime for."""
    runnable = [c for c in candidates if target in formats()[c.row.name].targets]
    obstacles = ", ".join(f"{c.row.name} ({c.obstacle})" for c in runnable)
    return f"no format fits {target}: {obstacles or 'none that runs there was exported'}"


def _accuracy(row: "FormatVerdict") -> float:
    return row.accuracy or 0.0


def _is_beaten(row: "FormatVerdict", rows: "Sequence[FormatVerdict]") -> bool:
    costs = _costs(row)
    return any(
        other != costs and all(a <= b for a, b in zip(other, costs, strict=True))
        for other in map(_costs, rows)
    )


def _costs(row: "FormatVerdict") -> tuple[float, float, float]:
    return -_accuracy(row), _size(row), _latency(row)


def _pick(fit: "Sequence[FormatVerdict]", target: str) -> tuple[str, str]:
    """The name and the reason."""
    best = max(_accuracy(row) for row in fit)
    margin = AS_ACCURATE_POINTS / 100 + 1e-9  # accuracies are ratios of counts
    as_good = [row for row in fit if best - _accuracy(row) <= margin]
    pick, what = _cheapest(as_good, TARGETS[target])
    figures = f"{_accuracy(pick):.2%}, {readable_size(int(_size(pick)))}, {_latency(pick):.3f} ms"
    if pick.content and pick.content.runs_from:
        figures += f"; it runs from {pick.content.runs_from} on"
    if len(fit) == 1:
        return pick.name, f"{pick.name} is the only one that fits: {figures}"
    return pick.name, (
        f"{pick.name} is {what} of the {len(as_good)} within {AS_ACCURATE_POINTS} "
        f"points of the most accurate ({best:.2%}): {figures}"
    )


def _cheapest(rows: "Sequence[FormatVerdict]", wanted: str) -> "tuple[FormatVerdict, str]":
    """The one that costs least, and what it is; of those nearly as fast, the smallest."""
    least = min(rows, key=lambda row: (COSTS[wanted](row), _costs(row)))
    as_fast = [row for row in rows if _latency(row) <= AS_FAST * _latency(least)]
    smallest = min(as_fast, key=lambda row: (_size(row), _costs(row)))
    if wanted == "smallest" or smallest is least:
        return least, f"the {wanted}"
    return smallest, f"nearly as fast as {least.name}, the {wanted}, and smaller,"
