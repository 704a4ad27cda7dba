"""What the report shows of the data beside findings: pictures found alike, pixels by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.report import data_urls


@dataclass(frozen=True)
class Pair:
    """Two images that were found alike: `data:` URLs, and what `checks.json` says of each."""

    urls: tuple[str, ...]
    images: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ClassPixels:
    """Pixels of a class.

    Attributes:
        name: of the class.
        figures: (mean, standard deviation) over all channels in each split; None without images.
    """

    name: str
    figures: tuple[tuple[float, float] | None, ...]


def pairs(checks: Mapping[str, Any] | None, alike: Mapping[int, np.ndarray]) -> list[Pair]:
    """The first two images of each group of which there are pictures."""
    groups = [g[:2] for f in (checks or {}).get("findings", ()) for g in f["examples"]]
    return [
        Pair(tuple(data_urls.image_url(alike[image["number"]]) for image in group), tuple(group))
        for group in groups
        if len(group) == 2 and all(image.get("number") in alike for image in group)
    ]


def class_pixels(checks: Mapping[str, Any] | None, most: int) -> list[ClassPixels]:
    """A row for each class in label order, or for the `most` that lie farthest from the mean."""
    splits = list((checks or {}).get("statistics", {}).values())
    names = list(splits[0].get("classes", ())) if splits else []
    rows = [
        ClassPixels(name, tuple(_overall(split["classes"][name]) for split in splits))
        for name in names
    ]
    if len(rows) <= most:
        return rows
    middle, _ = _overall(splits[0]) or (0.0, 0.0)
    return sorted(rows, key=lambda row: -_distance(row.figures, middle))[:most]


def _distance(figures: Sequence[tuple[float, float] | None], middle: float) -> float:
    return max(abs(found[0] - middle) if found else 0.0 for found in figures)


def _overall(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean and standard deviation of all values, from those of each channel."""
    if not facts["images"]:
        return None
    means, deviations = np.array(facts["mean"]), np.array(facts["deviation"])
    mean = float(means.mean())
    variance = float((deviations**2 + means**2).mean()) - mean**2
    return mean, max(variance, 0.0) ** 0.5
