"""`verdict.json`: what was measured of every format, and whether that is good enough."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from export.formats import failures

FILE_NAME = "verdict.json"
CAN_BE_READ, RUNS = "can be read", "runs"


@dataclass(frozen=True)
class Check:
    """One figure against its bound.

    Attributes:
        name: what is checked.
        value: what was found; none if it could not be found out.
        bound: what it may be at most.
        passed: whether the format holds it.
        reason: one sentence for a person.
    """

    name: str
    value: float | None
    bound: float | None
    passed: bool
    reason: str


@dataclass(frozen=True)
class Content:
    """What a file holds, as its bytes say.

    Attributes:
        weights: how many numbers it stores, by dtype.
        operators: how many operators compute, by dtype.
        runs_from: the first release of a runtime that runs it, such as `TFLite 2.4.0`, if it says.
    """

    weights: Mapping[str, int]
    operators: Mapping[str, int]
    runs_from: str | None = None


@dataclass(frozen=True)
class Micro:
    """What a format did in TensorFlow Lite Micro; nothing of it if that did not run the file.

    Attributes:
        refusal: why it does not run there; empty if it does.
        absence: why it could not be tried on the machine that verified; empty if it was.
        runtime: name and version.
        images: of the test split that it was asked about.
        different: images on which it predicts another class than LiteRT does with the same kernels.
        near_ties: images on which it does not, but LiteRT's faster kernels predict another class.
        latency_p50_ms: median time of one image on this machine, which is no microcontroller.
        arena_bytes: memory that it works in, beside the file.
    """

    refusal: str = ""
    absence: str = ""
    runtime: str | None = None
    images: int | None = None
    different: int | None = None
    near_ties: int | None = None
    latency_p50_ms: float | None = None
    arena_bytes: int | None = None

    @property
    def has_run(self) -> bool:
        return not (self.refusal or self.absence)


@dataclass(frozen=True)
class FormatVerdict:
    """What a format did on the test split, in its own runtime; nothing of it if it did not run.

    Attributes:
        name: the format.
        file: its file or folder in the export artifact.
        checks: never empty; all must hold.
        size_bytes: of all its files; none if there is none.
        runtime: name and version.
        accuracy: share of images whose label it gives.
        accuracy_difference_points: its accuracy less Keras', in percentage points.
        agreement: share of images on which it predicts what Keras predicts.
        disagreements: images on which it does not, and Keras had no tie there.
        largest_difference: between any probability of its and Keras'.
        latency_p50_ms: median time of one image.
        latency_p95_ms: 95th percentile of the same.
        load_ms: from file to ready, without the import of the runtime.
        micro: of a format for microcontrollers.
        content: none if the file could not be read.
    """

    name: str
    file: str
    checks: tuple[Check, ...]
    size_bytes: int | None = None
    runtime: str | None = None
    accuracy: float | None = None
    accuracy_difference_points: float | None = None
    agreement: float | None = None
    disagreements: int | None = None
    largest_difference: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    load_ms: float | None = None
    micro: Micro | None = None
    content: Content | None = None

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def may_pass(self) -> bool:
        """Whether it could not be read or run for a cause that may be gone another time."""
        failed = [c for c in self.checks if not c.passed and c.name in (CAN_BE_READ, RUNS)]
        return any(failures.may_pass(check.reason) for check in failed)

    @property
    def reason(self) -> str:
        """Why it failed; empty if it passed."""
        return "; ".join(check.reason for check in self.checks if not check.passed)


@dataclass(frozen=True)
class Verdict:
    """All rows, and what they were measured against and with.

    Attributes:
        test_images: how many images each format answered.
        keras_accuracy: share of them whose label Keras gives.
        threads: that each runtime was given.
        warmup_runs: on one image before time was taken.
        timed_runs: on one image, each timed.
        formats: one row each.
    """

    test_images: int
    keras_accuracy: float
    threads: int
    warmup_runs: int
    timed_runs: int
    formats: tuple[FormatVerdict, ...]

    @property
    def passed(self) -> bool:
        return bool(self.formats) and not self.failed

    @property
    def failed(self) -> tuple[FormatVerdict, ...]:
        return tuple(row for row in self.formats if not row.passed)


_VERDICT = TypeAdapter(Verdict)


def read(path: Path) -> Verdict:
    """Reads a verdict.

    Raises:
        pydantic.ValidationError: the file is no verdict.
    """
    return _VERDICT.validate_json(path.read_bytes())


def write(verdict: Verdict, path: Path) -> None:
    """Writes a verdict, with `passed` spelled out for readers other than `read`."""
    plain = _VERDICT.dump_python(verdict, mode="json")
    for row, entry in zip(verdict.formats, plain["formats"], strict=True):
        entry["passed"] = row.passed
    path.write_text(json.dumps({"passed": verdict.passed, **plain}, indent=2) + "\n", "utf-8")
