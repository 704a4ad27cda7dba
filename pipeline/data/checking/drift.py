"""Splits that differ from training in brightness, contrast or the shares of classes."""

from collections.abc import Iterator

import numpy as np

from pipeline.data.checking.finding import Finding, Material
from pipeline.data.checking.statistics import deviations, means
from pipeline.data.preparing import Profiled

STANDARD_ERRORS = 3.0
"""What chance alone moves a mean by is allowed on top: small splits vary."""
CHANNELS = {1: ("",), 3: ("red ", "green ", "blue ")}


def drift(material: Material) -> Iterator[Finding]:
    """Each difference of validation and test to training that is more than chance."""
    train = material.prepared.splits["train"]
    for split in ("validation", "test"):
        other = material.prepared.splits[split]
        if differences := [*_shifts(train, other, material), *_shares(train, other, material)]:
            yield Finding(
                "drift",
                len(differences),
                f"the {split} split differs from training: {'; '.join(differences[:3])}; draw "
                "both from one source, or train on what will be asked",
            )


def _shifts(train: Profiled, other: Profiled, material: Material) -> Iterator[str]:
    """Means that lie apart, in standard deviations of the training images."""
    chance = STANDARD_ERRORS * np.sqrt(1 / len(train) + 1 / len(other))
    for word, measure in (("brightness", means), ("contrast", deviations)):
        ours, theirs = measure(train), measure(other)
        shifts = (theirs.mean(axis=0) - ours.mean(axis=0)) / np.maximum(ours.std(axis=0), 1)
        for channel, shift in zip(CHANNELS[ours.shape[1]], shifts.tolist(), strict=True):
            if abs(shift) > material.section.largest_shift + chance:
                yield f"{channel}{word} by {shift:+.2f} standard deviations"


def _shares(train: Profiled, other: Profiled, material: Material) -> Iterator[str]:
    """Classes whose share lies apart."""
    labels = (part.profile.labels for part in (train, other))
    counts = [np.bincount(part, minlength=len(material.classes)) for part in labels]
    ours, theirs = (count / count.sum() for count in counts)
    pooled = (counts[0] + counts[1]) / (len(train) + len(other))
    errors = np.sqrt(pooled * (1 - pooled) * (1 / len(train) + 1 / len(other)))
    apart = abs(theirs - ours)
    for label in np.argsort(-apart, kind="stable").tolist():
        if apart[label] > material.section.largest_share_shift + STANDARD_ERRORS * errors[label]:
            yield f"class {material.classes[label]!r} {ours[label]:.1%} to {theirs[label]:.1%}"
