"""Sets a classifier from the mean features of each class: for few images, without training.

With features x, means m_c and any centre o, the nearest mean is that of the greatest
2 (m_c - o)·x - (|m_c|² - |o|²), for the two differ from -|x - m_c|² by nothing that hangs on the
class. That is a dense layer; times a factor, the inverse temperature, its softmax gives
probabilities (Mensink et al., "Distance-Based Image Classification: Generalizing to New Classes at
Near-Zero Cost", 2013; Snell et al., "Prototypical Networks for Few-shot Learning", 2017).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.batches import evaluation_batches
from pipeline.training.fit import VALIDATION_BATCH_SIZE, Splits
from pipeline.training.techniques.weight_transfer import weighted_layers

FACTORS = np.logspace(-5, 2, 141)
"""What distances between features of mean squared length 1 are tried to be multiplied by."""


class Fit(NamedTuple):
    """How well the means answer on validation, and by what their distances are multiplied."""

    accuracy: float
    loss: float
    factor: float


def set_nearest_mean(model: Any, splits: Splits, classes: Sequence[str]) -> Fit:
    """Makes the model answer with the class whose mean is nearest to an image's features.

    Args:
        model: its head is set; features are what the head takes.
        splits: training images give the means, validation the factor: that of the lowest loss.
        classes: in label order.

    Raises:
        ConfigError: the head is no dense layer.
        DataError: a class has no training images.
    """
    head = list(weighted_layers(model).values())[-1]
    if not isinstance(head, keras.layers.Dense):
        raise ConfigError(
            f"train.fine_tuning.head is nearest_mean, but the head {head.name} is no Dense layer"
        )
    features = keras.Model(model.inputs[0], head.input)
    found, labels = _features(features, splits.train, len(classes))
    if (missing := np.setdiff1d(np.arange(len(classes)), labels)).size:
        raise DataError(
            f"training split: no image of class {classes[missing[0]]!r}, so it has no mean"
        )
    means = np.stack([found[labels == label].mean(axis=0) for label in range(len(classes))])
    kernel, bias = nearest_mean(means, found.mean(axis=0))
    checked, truth = _features(features, splits.validation, len(classes))
    fit = choose_factor(checked @ kernel + bias, truth, float((found**2).sum(axis=1).mean()))
    head.set_weights([fit.factor * kernel, fit.factor * bias])
    return fit


def _features(model: Any, split: Any, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 (count, features), and int64 labels (count,)."""
    found, labels = [], []
    for images, targets in evaluation_batches(split, num_classes, VALIDATION_BATCH_SIZE):
        found.append(np.asarray(model(images, training=False), np.float64))
        labels.append(tf.argmax(targets, axis=1).numpy())
    return np.concatenate(found), np.concatenate(labels)


def nearest_mean(means: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (features, classes) and bias (classes,) whose greatest output is the nearest mean.

    Args:
        means: float64 (classes, features).
        centre: float64 (features,); near the means, it keeps the numbers small.
    """
    bias = (centre**2).sum() - (means**2).sum(axis=1)
    return 2 * (means - centre).T, bias


def choose_factor(logits: np.ndarray, labels: np.ndarray, unit: float) -> Fit:
    """The factor with the lowest cross-entropy.

    Args:
        logits: float64 (count, classes).
        labels: int64 (count,).
        unit: mean squared length of the features.
    """
    rows = np.arange(len(labels))

    def loss(factor: float) -> float:
        return float(-log_softmax(factor * logits, axis=1)[rows, labels].mean())

    factor = min(FACTORS / unit, key=loss) if unit else 1.0
    return Fit(float((logits.argmax(axis=1) == labels).mean()), loss(factor), float(factor))
