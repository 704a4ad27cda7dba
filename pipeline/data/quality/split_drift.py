"""Splits that differ from training in brightness, contrast or the shares of classes."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from pipeline.data.make_splits import Profiled
from pipeline.data.quality.finding import Finding, Material
from pipeline.data.quality.pixel_statistics import deviations, means

STANDARD_ERRORS = 3.0
"""What chance alone moves a mean by is allowed on top: small splits vary."""
LEAST_IMAGES = 10
"""What fewer images have in common tells nothing of their split."""
CHANNELS = {1: ("",), 3: ("red ", "green ", "blue ")}


def drift(material: Material) -> Iterator[Finding]:
    """Each difference of validation and test to training that is more than chance."""
    train = material.prepared.splits["train"]
    for split in ("validation", "test"):
        other = material.prepared.splits[split]
        if min(len(train), len(other)) < LEAST_IMAGES:
            continue
        if differences := [*_shifts(train, other, material), *_shares(train, other, material)]:
            yield Finding(
                "drift",
                len(differences),
                f"the {split} split differs from training: {'; '.join(differences[:3])}; draw "
                "both from one source, or train on what will be asked",
            )


def _shifts(train: Profiled, other: Profiled, material: Material) -> Iterator[str]:
    """Means that lie apart, in standard deviations of the training images."""
    for word, measure in (("brightness", means), ("contrast", deviations)):
        ours, theirs = measure(train), measure(other)
        shifts, errors = mean_shifts(ours, theirs)
        allowed = material.section.largest_shift + standard_errors(len(train) + len(other)) * errors
        apart = zip(CHANNELS[ours.shape[1]], shifts, errors, abs(shifts) > allowed, strict=True)
        for channel, shift, error, is_told in apart:
            if is_told:
                yield f"{channel}{word} by {shift:+.2f} ± {error:.2f} standard deviations"


def mean_shifts(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the means lie apart, and the standard error of that.

    The error is that of two samples with one spread, estimated from both (Student's): the spread
    within a few images of training alone says little of the spread of others.

    Args:
        ours: float (images, channels), two images or more.
        theirs: likewise.

    Returns:
        Float (channels,) each, in standard deviations of `ours`, one grey level at least.
    """
    unit = np.maximum(ours.std(axis=0, ddof=1), 1)
    squares = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in (ours, theirs))
    spread = np.sqrt(squares / (len(ours) + len(theirs) - 2))
    errors = np.maximum(spread, 1) * np.sqrt(1 / len(ours) + 1 / len(theirs))
    return (theirs.mean(axis=0) - ours.mean(axis=0)) / unit, errors / unit


def standard_errors(images: int) -> float:
    """By how many chance moves a mean as rarely as by `STANDARD_ERRORS` if the spread is known."""
    return float(stats.t.isf(stats.norm.sf(STANDARD_ERRORS), images - 2))


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
