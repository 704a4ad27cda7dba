"""Runs a format on the test split in a child process that holds its runtime and no other."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.formats.format import Predictor, exporter, refuse_reaching
from pipeline.config.schema import VerifySection
from pipeline.core import child_process
from pipeline.core.errors import ExportError

MEASURE = "export.verification.measure:measure"


@dataclass(frozen=True)
class Speed:
    """How fast a format is; see `export.formats.verdict.FormatVerdict`."""

    runtime: str
    latency_p50_ms: float
    latency_p95_ms: float
    load_ms: float


def check(
    format_name: str, path: Path, images: Path, section: VerifySection, function: str = MEASURE
) -> tuple[np.ndarray, Speed]:
    """Asks a format for its answers and takes its time.

    Args:
        format_name: the format.
        path: its file or folder.
        images: `.npy` of uint8 (count, height, width, channels).
        section: threads, runs and time limit.
        function: what the child calls.

    Returns:
        Probabilities: float32 (count, classes), and the times.

    Raises:
        ExportError: there is nothing to run, or the child failed.
    """
    if not path.exists():
        raise ExportError(f"{path.name} is missing")
    answers = images.with_name(f"{format_name}-answers.npy")
    argument = {
        "format_name": format_name,
        "path": str(path.resolve()),
        "images": str(images.resolve()),
        "answers": str(answers.resolve()),
        "threads": section.threads,
        "warmup_runs": section.warmup_runs,
        "timed_runs": section.timed_runs,
    }
    outcome = child_process.call(function, argument, timeout_seconds=section.timeout_seconds)
    if outcome.failure or not outcome.values:
        raise ExportError(f"its check {outcome.failure or 'gave no answer'}")
    return np.load(answers), Speed(**outcome.values[-1])


def measure(argument: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The child's side: writes the answers and yields the times."""
    name, path = argument["format_name"], Path(argument["path"])
    refuse_reaching(name, path)
    ends = exporter(name).inspect(name, path)
    images = ends.input.type.encode(np.load(argument["images"]))
    predictor, load_ms = _load_timed(name, path, argument["threads"])
    np.save(argument["answers"], ends.output.type.decode(predictor.run(images)))
    times = _times(predictor, images[:1], argument["warmup_runs"], argument["timed_runs"])
    p50, p95 = np.percentile(times, [50, 95])
    yield asdict(Speed(predictor.runtime, float(p50), float(p95), load_ms))


def _load_timed(format_name: str, path: Path, threads: int) -> tuple[Predictor, float]:
    """Loads twice: the first time imports the runtime, which an app does once for all models."""
    load = exporter(format_name).load
    load(format_name, path, threads)
    start = time.perf_counter()
    return load(format_name, path, threads), 1e3 * (time.perf_counter() - start)


def _times(
    predictor: Predictor, image: np.ndarray, warmup_runs: int, timed_runs: int
) -> list[float]:
    """Milliseconds of each run on one image."""
    prepared = predictor.prepare_one(image)
    for _ in range(warmup_runs):
        predictor.run_prepared(prepared)
    times = []
    for _ in range(timed_runs):
        start = time.perf_counter()
        predictor.run_prepared(prepared)
        times.append(1e3 * (time.perf_counter() - start))
    return times
