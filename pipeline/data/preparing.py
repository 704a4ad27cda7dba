"""From what a source gave to the three splits that are written: limits, draws and cleaning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import DataSection
from pipeline.data import cleaning
from pipeline.data.checking.likeness import alike_groups, equal_groups
from pipeline.data.gathering import Gathered
from pipeline.data.profile import Profile, profile
from pipeline.data.sharding import count_shards
from pipeline.data.splits import split_validation, stratified_sample
from pipeline.errors import DataError
from pipeline.sources import Split

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

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: np.ndarray) -> "Profiled":
        """Those at `indices`, int64 (selected,), in their order."""
        parts = (part[indices] for part in (self.numbers, self.equal, self.alike))
        return Profiled(self.images.select(indices), self.profile.select(indices), *parts)


@dataclass(frozen=True)
class Prepared:
    """The splits as they will be written.

    Attributes:
        splits: `train`, `validation` and `test`.
        cleaning: numbers of images changed or dropped, by reason.
        dropped: int64 numbers of the images that were dropped, by reason.
    """

    splits: Mapping[str, Profiled]
    cleaning: Mapping[str, int]
    dropped: Mapping[str, np.ndarray]


def survey(gathered: Gathered, section: DataSection, seed: int) -> dict[str, Profiled]:
    """Draws what the limits leave of the source's splits, and finds images that are alike."""
    splits = dict(gathered.splits)
    for name, limit in (("train", section.train_limit), ("test", section.test_limit)):
        if limit is not None:
            chosen = stratified_sample(splits[name].labels, limit, seed, f"{name}_limit")
            splits[name] = splits[name].select(chosen)
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
        splits |= _drawn(splits["train"], section.validation_fraction, seed)
    for split, other in BELONGS_TO_LATER if section.checks.drop_leaks else ():
        kept = cleaning.not_in(splits[split].alike, splits[other].alike)
        _keep(splits, split, kept, dropped, also_in(split, other))
    _check_left(splits, surveyed["train"], classes)
    splits["train"] = _mixed(splits["train"], seed)
    counts = {reason: len(numbers) for reason, numbers in dropped.items()}
    if section.median_filter is not None:
        filtered = len(splits["train"]) + len(splits["validation"])
        counts["training_and_validation_median_filtered"] = filtered
    return Prepared(splits, counts, dropped)


def also_in(split: str, other: str) -> str:
    """The reason for which an image of `split` is dropped that is in the other too."""
    return f"{split}_also_in_{other}_dropped"


def _drawn(train: Profiled, fraction: float, seed: int) -> dict[str, Profiled]:
    kept, drawn = split_validation(train.profile.labels, fraction, seed)
    return {"train": train.select(kept), "validation": train.select(drawn)}


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


def _check_left(splits: Mapping[str, Profiled], surveyed: Profiled, classes: Sequence[str]) -> None:
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
