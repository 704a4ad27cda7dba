"""Runs a format on the test split in a child process that holds its runtime and no other."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.formats.format import Predictor, exporter, refuse_external_access
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


def ask(
    format_name: str, path: Path, images: Path, section: VerifySection
) -> tuple[np.ndarray, Speed]:
    """Asks a format about all images of an `.npy`, uint8 (count, height, width, channels).

    Returns:
        Probabilities: float32 (count, classes), and the times of single images.

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
    outcome = child_process.call(MEASURE, argument, timeout_seconds=section.timeout_seconds)
    if outcome.failure or not outcome.values:
        raise ExportError(f"its check {outcome.failure or 'gave no answer'}")
    return np.load(answers), Speed(**outcome.values[-1])


def measure(argument: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The child's side: writes the answers and yields the times."""
    name, path = argument["format_name"], Path(argument["path"])
    refuse_external_access(name, path)
    ends = exporter(name).inspect(path).interface
    images = ends.input.type.encode(np.load(argument["images"]))
    load = exporter(name).load
    load(path, argument["threads"])  # imports the runtime, which an app does once for all models
    start = time.perf_counter()
    predictor = load(path, argument["threads"])
    load_ms = 1e3 * (time.perf_counter() - start)
    np.save(argument["answers"], ends.output.type.decode(predictor.run(images)))
    times = _times(predictor, images[:1], argument["warmup_runs"], argument["timed_runs"])
    p50, p95 = np.percentile(times, [50, 95])
    yield asdict(Speed(predictor.runtime, float(p50), float(p95), load_ms))


def _times(
    predictor: Predictor, image: np.ndarray, warmup_runs: int, timed_runs: int
) -> list[float]:
    """Milliseconds of each run on one image."""
    prepared = predictor.prepare(image)
    for _ in range(warmup_runs):
        predictor.answer(prepared)
    times = []
    for _ in range(timed_runs):
        start = time.perf_counter()
        predictor.answer(prepared)
        times.append(1e3 * (time.perf_counter() - start))
    return times
