"""Renders verdict.html: what was found out about every exported file, for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from export.formats.format import readable_size
from export.formats.verdict import Check, FormatVerdict, Verdict
from pipeline.evaluation.report import data_urls, html
from pipeline.evaluation.report.number_format import THIN_SPACE

TEMPLATE = "verdict.html.jinja"


@dataclass(frozen=True)
class GoldenImage:
    """One image of `golden/`: uint8 (height, width, channels), its class, and why it was taken."""

    pixels: np.ndarray
    label: str
    why: str


@dataclass(frozen=True)
class Subject:
    """All that the page shows.

    Attributes:
        verdict: the figures.
        quantization: `quantization.json`: how each quantised format was made.
        golden: the images that were written to `golden/`.
        config: name of the config.
        model_key: of the model that was exported.
    """

    verdict: Verdict
    quantization: Mapping[str, Mapping[str, Any]]
    golden: Sequence[GoldenImage]
    config: str
    model_key: str


def render(subject: Subject, made: datetime) -> str:
    """The page as HTML.

    Args:
        subject: what to show.
        made: the moment to print as its date, in UTC.
    """
    rows = subject.verdict.formats
    variables = {
        "verdict": subject.verdict,
        "config": subject.config,
        "model_key": subject.model_key,
        "made": made,
        "passed": sum(row.passed for row in rows),
        "check_names": check_names(rows),
        "checks": {row.name: {check.name: check for check in row.checks} for row in rows},
        "quantization": subject.quantization,
        "micro": [row for row in rows if row.micro],
        "golden": [(data_urls.image_url(g.pixels), g.label, g.why) for g in subject.golden],
        "size": readable_size,
        "found": found,
        "points": points,
    }
    return html.render(TEMPLATE, variables)


def check_names(rows: Sequence[FormatVerdict]) -> list[str]:
    """The names of all checks, in the order in which formats have them."""
    return list(dict.fromkeys(check.name for row in rows for check in row.checks))


def found(check: Check | None) -> str:
    """What a cell of the table of checks says: nothing where a format has no such check."""
    if check is None:
        return ""
    return "✓" if check.passed else "fails"


def points(difference: float | None) -> str:
    """`+0.01`, with a true minus sign; a difference of none has no sign."""
    if difference is None:
        return "–"
    text = f"{difference:+.2f}".replace("-", "\N{MINUS SIGN}")
    return f"{'0.00' if abs(difference) < 0.005 else text}{THIN_SPACE}pt"
