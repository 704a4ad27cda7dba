"""Images that stand twice: in a class, under different classes, in different splits."""

from collections.abc import Iterator

import numpy as np

from pipeline.core.text import count_of
from pipeline.data.make_splits import BELONGS_TO_LATER
from pipeline.data.quality.finding import SPLIT_WORDS, Finding, Material


def duplicates(material: Material) -> Iterator[Finding]:
    """Equal images in one class of a split, beyond the first of each."""
    places = material.splits * len(material.classes) + material.labels
    more = _beyond_first(material.equal, places)
    if len(more):
        yield Finding(
            "duplicates",
            len(more),
            f"{count_of(len(more), 'image')} equal to another of the same class and split; "
            + _what_becomes_of_duplicates(material),
            material.examples(_groups(material.equal, places, more)),
        )


def _what_becomes_of_duplicates(material: Material) -> str:
    if "duplicates_dropped" in material.prepared.dropped:
        return "one of each is kept in training"
    return "data.drop_duplicates=true keeps one of them in training"


def near_duplicates(material: Material) -> Iterator[Finding]:
    """Images nearly equal to another in one class of a split, beyond the first of each."""
    places = material.splits * len(material.classes) + material.labels
    more = np.setdiff1d(
        _beyond_first(material.alike, places), _beyond_first(material.equal, places)
    )
    if len(more):
        yield Finding(
            "near_duplicates",
            len(more),
            f"{count_of(len(more), 'image')} nearly equal to another of the same class and "
            "split, but for compression, scale or brightness; keep one of each",
            material.examples(_groups(material.alike, places, more)),
        )


def label_conflicts(material: Material) -> Iterator[Finding]:
    """Groups of equal or nearly equal images that stand under more than one class."""
    lowest = np.full(len(material.labels), len(material.classes))
    highest = np.full(len(material.labels), -1)
    np.minimum.at(lowest, material.alike, material.labels)
    np.maximum.at(highest, material.alike, material.labels)
    groups = np.flatnonzero(highest > lowest)
    if len(groups):
        yield Finding(
            "label_conflicts",
            len(groups),
            f"{count_of(len(groups), 'image')} in more than one class, equal or nearly so; "
            "none is left out of training for that; correct the labels",
            material.examples(_one_of_each_label(material, group) for group in groups.tolist()),
        )


def leakage(material: Material) -> Iterator[Finding]:
    """Images of one split of the source that stand in another too."""
    for split, other in BELONGS_TO_LATER:
        if split in material.surveyed and other in material.surveyed:
            own, later = material.surveyed[split], material.surveyed[other]
            leaks = own.numbers[np.isin(own.alike, later.alike)]
            if len(leaks):
                yield Finding(
                    "leakage",
                    len(leaks),
                    f"{count_of(len(leaks), f'{SPLIT_WORDS[split]} image')} in the {other} split "
                    f"too, equal or nearly so; {_outcome(material, split)}",
                    material.examples(_pairs(material, leaks, later.numbers)),
                )


def _outcome(material: Material, split: str) -> str:
    if material.section.drop_leaks:
        return f"left out of {SPLIT_WORDS[split]}"
    return "figures will flatter the model; data.checks.drop_leaks=true leaves them out"


def _beyond_first(groups: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Numbers of the images that are not the first of their group in their place, rising."""
    keys = groups * (places.max(initial=0) + 1) + places
    return np.setdiff1d(np.arange(len(keys)), np.unique(keys, return_index=True)[1])


def _groups(groups: np.ndarray, places: np.ndarray, more: np.ndarray) -> Iterator[np.ndarray]:
    """Each group that the images `more` belong to, in their place."""
    seen: set[tuple[int, int]] = set()
    for number in more.tolist():
        key = (int(groups[number]), int(places[number]))
        if key not in seen:
            seen.add(key)
            yield np.flatnonzero((groups == key[0]) & (places == key[1]))


def _one_of_each_label(material: Material, group: int) -> np.ndarray:
    members = np.flatnonzero(material.alike == group)
    return members[np.unique(material.labels[members], return_index=True)[1]]


def _pairs(material: Material, leaks: np.ndarray, later: np.ndarray) -> Iterator[np.ndarray]:
    """Each leak with the image of the later split that it is like."""
    for leak in leaks.tolist():
        yield np.array([leak, later[material.alike[later] == material.alike[leak]][0]])
