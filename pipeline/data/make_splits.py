"""From what a source gave to the three splits that are written: limits, draws and cleaning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from pipeline.config.schema import DataSection
from pipeline.core.errors import DataError
from pipeline.data import cleaning
from pipeline.data.decode_files import Gathered
from pipeline.data.image_statistics import Profile, profile
from pipeline.data.images.stratified import (
    draw_test,
    sample_per_class,
    split_validation,
    stratified_sample,
)
from pipeline.data.images.types import Split
from pipeline.data.perceptual_hash import alike_groups, equal_groups
from pipeline.data.sharding import count_shards

SPLITS = ("train", "validation", "test")
BELONGS_TO_LATER = (("train", "test"), ("validation", "test"), ("train", "validation"))
"""An image of both stays in the second: what is measured on is not learned from."""


@dataclass(frozen=True)
class Profiled:
    """Images and what is known of each.

    Attributes:
        images: the pixels.
        profile: facts on them.
        numbers: int64 (count,), one for each image that the source gave, in all splits.
        equal: int64 (count,), the lowest number of an image that equals it.
        alike: int64 (count,), the lowest number of those that equal it or nearly do.
    """

    images: Split
    profile: Profile
    numbers: np.ndarray
    equal: np.ndarray
    alike: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int64 (count,), each an index into the classes."""
        return self.images.labels

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: np.ndarray) -> "Profiled":
        """Those at `indices`, int64 (selected,), in their order."""
        parts = (part[indices] for part in (self.numbers, self.equal, self.alike))
        return Profiled(self.images.select(indices), self.profile.select(indices), *parts)


AnySplit = TypeVar("AnySplit", Split, Profiled)
Draw = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Prepared:
    """The splits as they will be written.

    Attributes:
        splits: `train`, `validation` and `test`, in this order.
        cleaning: numbers of images changed or dropped, by reason.
        dropped: int64 numbers of the images that were dropped, by reason.
    """

    splits: Mapping[str, Profiled]
    cleaning: Mapping[str, int]
    dropped: Mapping[str, np.ndarray]


def survey(gathered: Gathered, section: DataSection, seed: int) -> dict[str, Profiled]:
    """Finds images that are alike, draws a test split if there is none, and obeys the limits."""
    if gathered.drawn_test is None:
        return _profiled(_limited(gathered.splits, section, seed), section)
    asked, splits = gathered.drawn_test, _profiled(gathered.splits, section)
    train, test = _draw_alike_together(
        splits["train"], lambda labels: draw_test(labels, asked.fraction, asked.seed)
    )
    return _numbered(_limited({**splits, "train": train, "test": test}, section, seed))


def _limited(
    splits: Mapping[str, AnySplit], section: DataSection, seed: int
) -> dict[str, AnySplit]:
    limits = {"train": section.train_limit, "test": section.test_limit}
    found = {}
    for name, split in splits.items():
        limit = limits.get(name) or len(split)
        if name == "train" and section.train_per_class is not None:
            chosen = sample_per_class(split.labels, section.train_per_class, seed)
        else:
            chosen = stratified_sample(split.labels, limit, seed, f"{name}_limit")
        found[name] = split if len(chosen) == len(split) else split.select(chosen)
    return found


def _profiled(splits: Mapping[str, Split], section: DataSection) -> dict[str, Profiled]:
    profiles = [profile(split) for split in splits.values()]
    equal = equal_groups(np.concatenate([part.digests for part in profiles]))
    thumbnails = np.concatenate([part.thumbnails for part in profiles])
    height, width, _ = splits["train"].image_shape
    colours = np.concatenate([part.sums for part in profiles]) / (height * width)
    alike = alike_groups(equal, thumbnails, colours, section.checks.least_similarity)
    ends = np.cumsum([len(part) for part in profiles])[:-1]
    columns = (np.split(part, ends) for part in (np.arange(len(equal)), equal, alike))
    rows = zip(splits.values(), profiles, *columns, strict=True)
    return dict(zip(splits, (Profiled(*row) for row in rows), strict=True))


def prepare(
    surveyed: Mapping[str, Profiled], section: DataSection, seed: int, classes: Sequence[str]
) -> Prepared:
    """Draws and cleans. No test image is changed or dropped: none is, where models are used.

    Raises:
        DataError: a class has too few images; all of its training images, or all images of
            validation, are in other splits too.
    """
    splits = dict(surveyed)
    dropped: dict[str, np.ndarray] = {}
    if section.drop_duplicates:
        train = splits["train"]
        kept = cleaning.unique_indices(train.equal, train.profile.labels)
        _keep(splits, "train", kept, dropped, "duplicates_dropped")
    if "validation" not in splits:
        splits["train"], splits["validation"] = _draw_alike_together(
            splits["train"],
            lambda labels: split_validation(labels, section.validation_fraction, seed),
        )
    for split, other in BELONGS_TO_LATER if section.checks.drop_leaks else ():
        kept = cleaning.not_in(splits[split].alike, splits[other].alike)
        _keep(splits, split, kept, dropped, also_in(split, other))
    _refuse_none_left(splits, surveyed["train"], classes)
    splits["train"] = _mixed(splits["train"], seed)
    counts = {reason: len(numbers) for reason, numbers in dropped.items()}
    if section.median_filter is not None:
        filtered = len(splits["train"]) + len(splits["validation"])
        counts["training_and_validation_median_filtered"] = filtered
    return Prepared({split: splits[split] for split in SPLITS}, counts, dropped)


def also_in(split: str, other: str) -> str:
    """The reason for which an image of `split` is dropped that is in the other too."""
    return f"{split}_also_in_{other}_dropped"


def _draw_alike_together(train: Profiled, draw: Draw) -> tuple[Profiled, Profiled]:
    """Keeps and draws whole groups of like images, so that none is near to one of the other part.

    A class that is one group is drawn image by image; nothing else can be drawn of it.
    """
    firsts = np.unique(train.alike, return_index=True)[1]
    is_single = np.bincount(train.labels[firsts], minlength=train.labels.max() + 1) == 1
    names = np.where(is_single[train.labels], train.numbers, train.alike)
    _, firsts, groups = np.unique(names, return_index=True, return_inverse=True)
    is_drawn = np.isin(groups, draw(train.labels[firsts])[1])
    return train.select(np.flatnonzero(~is_drawn)), train.select(np.flatnonzero(is_drawn))


def _numbered(splits: Mapping[str, Profiled]) -> dict[str, Profiled]:
    """Numbers the images of some splits anew, from 0 on."""
    ends = np.cumsum([len(part) for part in splits.values()])[:-1]
    columns = [np.arange(sum(map(len, splits.values())))]
    for column in ("equal", "alike"):
        old = np.concatenate([getattr(part, column) for part in splits.values()])
        columns.append(_first_of_each(old))
    parts = zip(*(np.split(column, ends) for column in columns), strict=True)
    return {
        name: replace(split, numbers=numbers, equal=equal, alike=alike)
        for (name, split), (numbers, equal, alike) in zip(splits.items(), parts, strict=True)
    }


def _first_of_each(groups: np.ndarray) -> np.ndarray:
    """For each member the first place of its group."""
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return firsts[inverse]


def _keep(
    splits: dict[str, Profiled],
    split: str,
    kept: np.ndarray,
    dropped: dict[str, np.ndarray],
    reason: str,
) -> None:
    before = splits[split]
    if len(kept) < len(before):
        splits[split] = before.select(kept)
        dropped[reason] = np.setdiff1d(before.numbers, splits[split].numbers)


def _refuse_none_left(
    splits: Mapping[str, Profiled], surveyed: Profiled, classes: Sequence[str]
) -> None:
    remedy = "equal or nearly so. Add other images, or keep these with data.checks.drop_leaks=false"
    gone = np.setdiff1d(surveyed.profile.labels, splits["train"].profile.labels)
    if len(gone):
        raise DataError(
            f"training split: every image of class {classes[gone[0]]!r} is in validation or test "
            f"too, {remedy}."
        )
    if not len(splits["validation"]):
        raise DataError(f"validation split: every image is in the test split too, {remedy}.")


def _mixed(train: Profiled, seed: int) -> Profiled:
    """Where there are several shards, each gets images of all classes."""
    if count_shards(train.images) == 1:
        return train
    return train.select(np.random.default_rng([seed, len(train)]).permutation(len(train)))
