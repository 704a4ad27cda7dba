"""Files that were left out, and files of odd sizes."""

from collections.abc import Iterator

import numpy as np

from pipeline.config_checks import REFUSED
from pipeline.data.checking.finding import (
    MOST_EXAMPLES,
    Example,
    Finding,
    Material,
    count_of,
    printable,
)
from pipeline.data.gathering import Refused, SpooledImages

WHAT_AND_REMEDY = {
    "unreadable": ("that cannot be opened", "mend their permissions or links"),
    "empty": ("without a byte", "fetch them again"),
    "truncated": ("cut short", "fetch them again"),
    "undecodable": ("that are no pictures", "replace or remove them"),
    "animated": ("with more than one frame", "save one frame of each"),
    "wrong_extension": ("of another format than their names say", "rename them"),
    "too_large": ("too large to open", "scale them down"),
    "unsupported": ("whose pixels would have to be guessed at", "convert them to 8 bits, RGB"),
}


def refused(material: Material) -> Iterator[Finding]:
    """One finding for each kind of files that were left out."""
    files = material.gathered.refused
    for kind in REFUSED:
        if found := [file for file in files if file.kind == kind]:
            what, remedy = WHAT_AND_REMEDY[kind]
            yield Finding(
                kind,
                len(found),
                f"{count_of(len(found), 'file')} {what} left out: {printable(found[0].name)} "
                f"{found[0].reason}; {remedy}",
                tuple((_example(file, material),) for file in found[:MOST_EXAMPLES]),
            )


def _example(file: Refused, material: Material) -> Example:
    return Example(file.split, printable(file.name), material.classes[file.label])


def size_outliers(material: Material) -> Iterator[Finding]:
    """Files whose height or width is far from the median."""
    parts = material.surveyed.values()
    sizes = [p.images.file_sizes for p in parts if isinstance(p.images, SpooledImages)]
    numbers = [p.numbers for p in parts if isinstance(p.images, SpooledImages)]
    if not sizes or not sum(map(len, sizes)):
        return
    sides = np.concatenate(sizes).astype(np.float64)
    median = np.median(sides, axis=0)
    ratio = np.maximum(sides / median, median / sides).max(axis=1)
    odd = np.concatenate(numbers)[ratio > material.section.size_ratio]
    if len(odd):
        yield Finding(
            "size_outliers",
            len(odd),
            f"{count_of(len(odd), 'file')} more than {material.section.size_ratio:g} times larger "
            f"or smaller than the median of {median[1]:g}×{median[0]:g} pixels; look whether "
            "they show what the others do",
            material.singles(odd),
        )
