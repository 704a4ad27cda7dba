"""Asks a model about images, as they are or averaged over views of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.geometric import move

Change = Callable[[np.ndarray, int], Any]


def as_they_are(images: np.ndarray, start: int) -> np.ndarray:
    return images


@dataclass(frozen=True)
class Views:
    """Views of images: the first as they are, the others moved at random.

    Attributes:
        section: how far they may be moved; what it says of pixels' values, of erasing and of
            mixing is not for tests.
        seed: decides the moves, together with the number of the view and the place of the batch.
    """

    section: AugmentationSection
    seed: int

    def change(self, number: int) -> Change:
        """What makes view `number`, from 1 on, of a batch that begins at some image."""

        def moved(images: np.ndarray, start: int) -> tf.Tensor:
            # Training counts its epochs from 0 on, so below it none of its moves comes again.
            seed = tf.random.fold_in(
                tf.constant([self.seed, -number], tf.int64),
                tf.constant(start, tf.int64),
                alg="philox",
            )
            return move(tf.constant(images), self.section, seed)

        return moved


def answers(
    model: Any, images: np.ndarray, batch_size: int, task: Any, change: Change = as_they_are
) -> np.ndarray:
    """The model's probabilities, batch by batch: float32 (count, classes).

    Args:
        model: takes float32 (batch, height, width, channels), 0..255.
        images: uint8 (count, height, width, channels).
        batch_size: how many to ask about at once.
        task: is told of each batch that is done.
        change: makes of a batch and the place of its first image what the model is shown.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size].astype(np.float32)
        parts.append(np.asarray(model(change(batch, start), training=False)))
        task.advance(len(batch))
    return np.concatenate(parts)
