"""Chance: how well trials may seem to do that do not look at the images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binom

from pipeline.config.loading import with_values
from pipeline.config.schema import PipelineConfig
from pipeline.tuning.base_search import Trial

LUCK = 0.05
"""How often a search whose trials all guess may be taken, at most, for one that found something."""
ROUNDING = 1e-6
"""Keras' accuracies are float32, and one image of a million counts for as much."""


@dataclass(frozen=True)
class Chance:
    """What guessing reaches on the validation images.

    Attributes:
        level: the score of the best guess.
        bound: the first score that luck does not explain; none does if it lies beyond all scores.
        is_accuracy: whether scores are accuracies, 0..1, or losses.
    """

    level: float
    bound: float
    is_accuracy: bool

    @property
    def can_be_beaten(self) -> bool:
        return self.bound <= 1 if self.is_accuracy else self.bound > 0

    def is_beaten_by(self, score: float) -> bool:
        if self.is_accuracy:
            return score > self.bound - ROUNDING
        return score <= self.bound


def of_accuracy(counts: Sequence[int], looks: int) -> Chance:
    """The best guess names the largest class always, and is right for its share of the images.

    A guess of any kind is right for as many images as a binomial variable of that share, or for
    fewer. The bound is the count that it reaches by luck with a probability of LUCK at most, shared
    among all looks (Bonferroni), for the best epoch of the best trial counts.

    Args:
        counts: validation images of each class.
        looks: epochs of all trials together.
    """
    total = sum(counts)
    share = max(counts) / total
    right = int(binom.isf(LUCK / max(1, looks), total, share)) + 1
    return Chance(share, right / total, is_accuracy=True)


def of_loss(counts: Sequence[int], looks: int, label_smoothing: float = 0.0) -> Chance:
    """The best guess gives each class its share, and has the entropy of the shares as its loss.

    Of a guess q, exp(images × (entropy - loss)) has a mean of 1 at most, so that by Markov's
    inequality luck gives a loss of entropy - ln(looks / LUCK) / images with a probability of
    LUCK / looks at most.

    Args:
        counts: validation images of each class.
        looks: epochs of all trials together.
        label_smoothing: what the loss is taken with, 0..1.
    """
    total = sum(counts)
    even = label_smoothing / len(counts)
    shares = [(1 - label_smoothing) * count / total + even for count in counts]
    entropy = -sum(share * math.log(share) for share in shares if share)
    return Chance(entropy, entropy - math.log(max(1, looks) / LUCK) / total, is_accuracy=False)


def chance(config: PipelineConfig, trials: Sequence[Trial], counts: Sequence[int]) -> Chance:
    """What the trials' scores are held against.

    A loss with a penalty on weights tells nothing of guessing; every loss counts as better.

    Args:
        config: of the search.
        trials: all of it.
        counts: validation images of each class.
    """
    looks = sum(trial.epochs for trial in trials if trial.score is not None)
    if config.tune.objective == "val_accuracy":
        return of_accuracy(counts, looks)
    tried = [with_values(config, trial.values) for trial in trials]
    if any(getattr(each.model, name, 0) for each in tried for name in ("l1", "l2")):
        return Chance(math.inf, math.inf, is_accuracy=False)
    return of_loss(counts, looks, max(each.train.label_smoothing for each in tried))
