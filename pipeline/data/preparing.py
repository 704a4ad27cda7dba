"""From what a source gave to the three splits that are written: limits, draws and cleaning."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.config import DataSection
from pipeline.data import cleaning
from pipeline.data.gathering import Gathered
from pipeline.data.profile import Profile, profile
from pipeline.data.records import count_shards
from pipeline.data.splits import split_validation, stratified_sample
from pipeline.sources import Split


@dataclass(frozen=True)
class Profiled:
    """Images and what is known of each."""

    images: Split
    profile: Profile

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: np.ndarray) -> "Profiled":
        """Those at `indices`, int64 (selected,), in their order."""
        return Profiled(self.images.select(indices), self.profile.select(indices))


@dataclass(frozen=True)
class Prepared:
    """The splits as they will be written.

    Attributes:
        splits: `train`, `validation` and `test`.
        cleaning: numbers of images changed or dropped, by reason.
    """

    splits: Mapping[str, Profiled]
    cleaning: Mapping[str, int]


def prepare(gathered: Gathered, section: DataSection, seed: int) -> Prepared:
    """Draws and cleans. No test image is changed or dropped: none is, where models are used.

    Raises:
        DataError: a class has too few images.
    """
    splits = _limited(gathered, section, seed)
    counts: dict[str, int] = {}
    if section.drop_duplicates:
        kept = cleaning.unique_indices(splits["train"].profile)
        _keep(splits, "train", kept, counts, "duplicates_dropped")
    if "validation" not in splits:
        splits |= _drawn(splits["train"], section.validation_fraction, seed)
    for split, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        kept = cleaning.not_in(splits[split].profile, splits[other].profile)
        _keep(splits, split, kept, counts, f"{split}_also_in_{other}_dropped")
    splits["train"] = _mixed(splits["train"], seed)
    if section.median_filter is not None:
        filtered = len(splits["train"]) + len(splits["validation"])
        counts["training_and_validation_median_filtered"] = filtered
    return Prepared(splits, counts)


def _limited(gathered: Gathered, section: DataSection, seed: int) -> dict[str, Profiled]:
    splits = dict(gathered.splits)
    for name, limit in (("train", section.train_limit), ("test", section.test_limit)):
        if limit is not None:
            chosen = stratified_sample(splits[name].labels, limit, seed, f"{name}_limit")
            splits[name] = splits[name].select(chosen)
    return {name: Profiled(split, profile(split)) for name, split in splits.items()}


def _drawn(train: Profiled, fraction: float, seed: int) -> dict[str, Profiled]:
    kept, drawn = split_validation(train.profile.labels, fraction, seed)
    return {"train": train.select(kept), "validation": train.select(drawn)}


def _keep(
    splits: dict[str, Profiled], split: str, kept: np.ndarray, counts: dict[str, int], reason: str
) -> None:
    if dropped := len(splits[split]) - len(kept):
        splits[split] = splits[split].select(kept)
        counts[reason] = dropped


def _mixed(train: Profiled, seed: int) -> Profiled:
    """Where there are several shards, each gets images of all classes."""
    if count_shards(train.images) == 1:
        return train
    return train.select(np.random.default_rng([seed, len(train)]).permutation(len(train)))
