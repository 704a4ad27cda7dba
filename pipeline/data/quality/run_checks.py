"""Runs all checks that are not ignored, and writes what they found."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.data_checks import CHECKS, REFUSED
from pipeline.core.errors import DataError
from pipeline.core.text import count_of
from pipeline.data.make_splits import BELONGS_TO_LATER, also_in
from pipeline.data.quality import (
    bad_files,
    blank_images,
    class_balance,
    duplicates,
    label_errors,
    pixel_statistics,
    split_drift,
    thumbnails,
)
from pipeline.data.quality.finding import Finding, Material

FINDINGS = "checks.json"
QUARANTINE = "quarantine.csv"
DUPLICATES = "duplicates.csv"
OUTCOMES = {also_in(*pair): f"also in {pair[1]}" for pair in BELONGS_TO_LATER}
SEVERITY = ("fail", "warn")

FINDERS: Mapping[Callable[[Material], Iterator[Finding]], tuple[str, ...]] = {
    bad_files.refused: REFUSED,
    blank_images.constant_images: ("constant_images",),
    bad_files.size_outliers: ("size_outliers",),
    blank_images.colour: ("colour",),
    duplicates.duplicates: ("duplicates",),
    duplicates.near_duplicates: ("near_duplicates",),
    duplicates.label_conflicts: ("label_conflicts",),
    duplicates.leakage: ("leakage",),
    class_balance.imbalance: ("imbalance",),
    class_balance.few_images: ("few_images",),
    class_balance.missing_classes: ("missing_classes",),
    split_drift.drift: ("drift",),
    label_errors.suspect_labels: ("suspect_labels",),
}


@dataclass(frozen=True)
class Examination:
    """What the checks found.

    Attributes:
        material: what they looked at.
        findings: the gravest first.
    """

    material: Material
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "fail")

    @property
    def class_counts(self) -> dict[str, list[int]]:
        """How many images of each class each split has, in label order."""
        return {
            split: np.bincount(part.labels, minlength=len(self.material.classes)).tolist()
            for split, part in self.material.prepared.splits.items()
        }

    def as_json(self) -> dict[str, Any]:
        """Findings, the statistics of each split and class, and the settings."""
        material = self.material
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "statistics": pixel_statistics.by_split_and_class(
                material.prepared.splits, material.classes
            ),
            "settings": material.section.model_dump(mode="json"),
        }


def examine(material: Material) -> Examination:
    """Runs each check whose level is not `ignore`."""
    levels = {check: material.section.level(check) for check in CHECKS}
    findings = [
        replace(finding, level=levels[finding.check])
        for find, checks in FINDERS.items()
        if any(levels[check] != "ignore" for check in checks)
        for finding in find(material)
        if levels[finding.check] != "ignore"
    ]
    return Examination(material, tuple(sorted(findings, key=lambda f: SEVERITY.index(f.level))))


def refuse_failures(examination: Examination) -> None:
    """Ends the run where a check of level `fail` has found something.

    Raises:
        DataError: names the first and counts the others.
    """
    if failures := examination.failures:
        first, others = failures[0], len(failures) - 1
        more = f" {count_of(others, 'more finding')} of level fail." if others else ""
        raise DataError(
            f"{examination.material.gathered.origin}: {first.line}.{more} check-data with the same "
            f"-c and settings lists all; data.checks.{first.check}=warn goes on"
        )


def write(folder: Path, examination: Examination) -> None:
    """Writes `checks.json`; `quarantine.csv`, `duplicates.csv` and `alike.npz` if they hold any.

    Those of an earlier examination are replaced.
    """
    text = json.dumps(examination.as_json(), indent=2, ensure_ascii=False) + "\n"
    (folder / FINDINGS).write_text(text, encoding="utf-8", errors="backslashreplace")
    material = examination.material
    quarantine = [
        (file.split, file.name, material.classes[file.label], file.kind, file.reason)
        for file in material.gathered.refused
    ]
    _write_rows(folder / QUARANTINE, ("split", "file", "class", "kind", "reason"), quarantine)
    heads = ("group", "split", "image", "class", "likeness", "outcome")
    _write_rows(folder / DUPLICATES, heads, list(_duplicate_rows(material)))
    thumbnails.write(folder, material, examination.findings)


def _write_rows(path: Path, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    path.unlink(missing_ok=True)
    if rows:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            csv.writer(file).writerows([heads, *rows])


def _duplicate_rows(material: Material) -> Iterator[tuple[Any, ...]]:
    """All images that are like another, group by group."""
    order = np.argsort(material.alike, kind="stable")
    sizes = np.bincount(material.alike, minlength=len(order))
    outcomes = _outcomes(material)
    groups: dict[int, int] = {}
    for number in order[sizes[material.alike[order]] > 1].tolist():
        first = int(material.alike[number])
        image = material.example(number)
        likeness = "equal" if material.equal[number] == material.equal[first] else "near"
        outcome = outcomes.get(number, "kept")
        group = groups.setdefault(first, len(groups) + 1)
        yield group, image.split, image.name, image.label, likeness, outcome


def _outcomes(material: Material) -> dict[int, str]:
    """In words, of each image that was left out."""
    return {
        number: f"left out: {OUTCOMES.get(reason, 'duplicate')}"
        for reason, numbers in material.prepared.dropped.items()
        for number in numbers.tolist()
    }
