"""Files that were left out, and files of odd sizes."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.config.data_checks import REFUSED
from pipeline.core.text import count_of
from pipeline.data.decode_files import Refused, SpooledImages
from pipeline.data.quality.finding import (
    MOST_EXAMPLES,
    Example,
    Finding,
    Material,
)

MOST_REASONS = 3


def refused(material: Material) -> Iterator[Finding]:
    """One finding for each kind of files that were left out."""
    files = material.gathered.refused
    for kind in REFUSED:
        if found := [file for file in files if file.kind == kind]:
            yield Finding(
                kind,
                len(found),
                f"{count_of(len(found), 'file')} left out: {_reasons(found)}",
                tuple((_example(file, material),) for file in found[:MOST_EXAMPLES]),
            )


def _reasons(files: Sequence[Refused]) -> str:
    """The first file of each of the first reasons, and how many files there are besides."""
    firsts = {file.reason: file for file in reversed(files)}
    told = [file for file in files if firsts[file.reason] is file][:MOST_REASONS]
    parts = [f"{file.name} {file.reason}" for file in told]
    if others := len(files) - len(told):
        parts.append(f"and {others:,} more")
    return "; ".join(parts)


def _example(file: Refused, material: Material) -> Example:
    return Example(file.split, file.name, material.classes[file.label])


def size_outliers(material: Material) -> Iterator[Finding]:
    """Files whose height or width is far from the median, and a median far below `image_size`."""
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
    decoding = material.gathered.decoding
    asked = decoding.image_size if decoding else None
    if asked and (asked / median).min() > material.section.size_ratio:
        yield Finding(
            "size_outliers",
            len(sides),
            f"the pictures are small, in the median {median[1]:g}×{median[0]:g} pixels, and are "
            f"blown up to {asked[1]}×{asked[0]}, which shows a model no more and takes longer; "
            f"look whether data.image_size='[{median[0]:.0f}, {median[1]:.0f}]' does as well",
        )
