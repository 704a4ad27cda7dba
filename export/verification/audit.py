"""Checks that files are what their format's name, their contract and their labels say.

Each exporter's `inspect` reads what a file holds from its bytes; no runtime is asked.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from export.formats import contract
from export.formats.contract import Contract
from export.formats.format import FormatOptions, exporter, formats
from export.formats.inspection import Inspection
from export.formats.verdict import CAN_BE_READ, Check, Content
from export.verification.audit_rules import AGAIN_OR_NOT, Auditor
from pipeline.core import child_process

if TYPE_CHECKING:
    import numpy as np

AUDIT = "export.verification.audit:audit_formats"
SUM_TOLERANCE = 1e-3
HALF = 0.5  # with more classes than this allows for, steps say nothing


@dataclass(frozen=True)
class Audit:
    """The checks of one file, and what it holds, if it could be read."""

    checks: tuple[Check, ...]
    content: Content | None = None


_AUDIT = TypeAdapter(Audit)


def audit(
    folder: Path, options: Mapping[str, FormatOptions], timeout_seconds: float
) -> dict[str, Audit]:
    """Audits formats in a child process: a damaged file may do anything to its parser.

    Args:
        folder: the export artifact.
        options: of each format to audit, by name.
        timeout_seconds: what a child may take.
    """
    audits: dict[str, Audit] = {}
    left = {name: chosen.model_dump_json() for name, chosen in options.items()}
    while left:
        argument = {"folder": str(folder.resolve()), "options": left}
        outcome = child_process.call(AUDIT, argument, timeout_seconds=timeout_seconds)
        for name, found in outcome.values:
            audits[name] = _AUDIT.validate_python(found)
            del left[name]
        if left:
            unread = next(iter(left))
            audits[unread] = _unreadable(f"reading it {outcome.failure or 'gave no answer'}")
            del left[unread]
    return audits


def audit_formats(argument: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The child's side: yields the audit of one format after another."""
    folder = Path(argument["folder"])
    promised = contract.read(folder)
    for name, chosen in argument["options"].items():
        known = formats()[name]
        options = known.options.model_validate_json(chosen)
        yield name, asdict(audit_file(name, folder / known.path, promised, options))


def audit_file(format_name: str, path: Path, promised: Contract, options: FormatOptions) -> Audit:
    """Audits what is said to be a format, with these options, beside the contract promised."""
    try:
        found = exporter(format_name).inspect(path)
    except Exception as error:  # a parser may raise anything on bytes that are no such file
        return _unreadable(f"reading it raised {type(error).__name__}: {error}")
    checks = Auditor(formats()[format_name], path, promised, options, found).checks()
    return Audit(checks, _content(found))


def _content(found: Inspection) -> Content:
    weights = Counter[str]()
    for weight in found.weights:
        weights[weight.dtype] += weight.elements
    operators = Counter(dtype for each in found.operators for dtype in set(each.dtypes))
    return Content(dict(weights.most_common()), dict(operators.most_common()), found.runs_from)


def sums(answers: "np.ndarray", step: float | None) -> Check:
    """Whether answers are probabilities, which no file says of itself.

    Args:
        answers: decoded, float32 (images, classes).
        step: by which the last layer's numbers rise; each of them may be off by one.
    """
    import numpy as np

    bound = min(answers.shape[1] * step, HALF) if step else SUM_TOLERANCE
    low, high = float(answers.min()), float(answers.max())
    off = float(np.abs(answers.sum(axis=1) - 1).max())
    passed = off <= bound and low >= 0 and high <= 1
    reason = (
        f"its answers lie between {low:g} and {high:g}, and their sum is off 1 by up to {off:.2g}; "
        f"expected 0 to 1, and {bound:.2g}: the last layer must be a softmax"
    )
    return Check("probabilities", off, bound, passed, reason)


def _unreadable(why: str) -> Audit:
    return Audit((Check(CAN_BE_READ, None, None, False, f"{why}; {AGAIN_OR_NOT}"),))
