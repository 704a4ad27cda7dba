"""Finds out whether a model gives the right classes in another order than the data has them."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

# So many standard deviations above chance a cycle of classes must be answered in its new order:
# luck comes this far once in some 700 times, and had to propose it first.
SURE = 3.0
# A few classes change places by accident in a model that is bad at all others, too.
WELL = 0.5


def places(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Where the model's output has each class: int64 (classes,), `arange` if in its place.

    Each second image proposes, by the assignment that fits most of them; the others must confirm
    each cycle of classes in it, with well over half of its images, and one beyond all luck. Of
    less than half of the classes it is believed only where most answers are right then.

    Args:
        predicted: int64 (images,), the output that is highest.
        labels: int64 (images,).
        num_classes: of the data, and outputs of the model.
    """
    seen = np.zeros((num_classes, num_classes))
    np.add.at(seen, (labels[::2], predicted[::2]), 1)
    _, proposed = linear_sum_assignment(-seen - np.eye(num_classes) / 2)  # ties stay in place
    found, is_sure = np.arange(num_classes), False
    for cycle in _cycles(proposed.tolist()):
        held_out = np.isin(labels[1::2], cycle)
        right = (predicted[1::2] == proposed[labels[1::2]])[held_out]
        chance, count = 1 / len(cycle), len(right)
        if count and right.mean() >= (1 + chance) / 2:
            found[cycle] = proposed[cycle]
            deviation = float(np.sqrt(count * chance * (1 - chance)))
            is_sure |= right.sum() - count * chance >= SURE * deviation
    is_good = (predicted[1::2] == found[labels[1::2]]).mean() >= WELL
    are_many = (found != np.arange(num_classes)).mean() >= WELL
    return found if is_sure and (is_good or are_many) else np.arange(num_classes)


def _cycles(permutation: Sequence[int]) -> Iterator[list[int]]:
    """The classes that change places among each other."""
    left = {start for start, end in enumerate(permutation) if start != end}
    while left:
        cycle = [left.pop()]
        while (following := permutation[cycle[-1]]) != cycle[0]:
            cycle.append(following)
        left -= set(cycle)
        yield cycle
