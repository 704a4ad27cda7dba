"""Classes with few images, with many more than others, or with none in a split."""

from collections.abc import Iterator

import numpy as np

from pipeline.core.text import count_of, first_of
from pipeline.data.make_splits import Profiled
from pipeline.data.quality.finding import Finding, Material


def imbalance(material: Material) -> Iterator[Finding]:
    """The largest class against the smallest, in training."""
    counts = _counts(material.prepared.splits["train"], material)
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    ratio = counts[largest] / max(counts[smallest], 1)
    if ratio > material.section.imbalance_ratio:
        yield Finding(
            "imbalance",
            int(ratio),
            f"class {material.classes[largest]!r} has {ratio:.0f} times the training images of "
            f"{material.classes[smallest]!r} ({counts[largest]:,} to {counts[smallest]:,}); add "
            "images, or set train.class_weights=balanced",
        )


def few_images(material: Material) -> Iterator[Finding]:
    """Classes with too few training images to learn from."""
    counts = _counts(material.prepared.splits["train"], material)
    few = np.flatnonzero(counts < material.section.least_images)
    if len(few):
        yield Finding(
            "few_images",
            len(few),
            f"{count_of(len(few), 'class', 'classes')} with fewer than "
            f"{material.section.least_images} training images: "
            f"{first_of([f'{material.classes[i]!r} ({counts[i]})' for i in few], 3)}; add images",
        )


def missing_classes(material: Material) -> Iterator[Finding]:
    """Classes that cannot be measured, as a split has no image of them."""
    missing = [
        f"{material.classes[label]!r} in {split}"
        for split in ("validation", "test")
        for label in np.flatnonzero(_counts(material.prepared.splits[split], material) == 0)
    ]
    if missing:
        yield Finding(
            "missing_classes",
            len(missing),
            f"no image of {first_of(missing, 3)}; nothing can be said of how well such a class is "
            "told; add images",
        )


def _counts(part: Profiled, material: Material) -> np.ndarray:
    return np.bincount(part.profile.labels, minlength=len(material.classes))
