"""Makes probabilities mean what they say (Guo et al. 2017, arXiv:1706.04599).

A network's logits are divided by one number, the temperature, that suits the validation images
best: of the answers at 90 %, nine in ten are right. Which class is the likeliest stays as it was.
The division is in the weights of the last dense layer, so every format has it.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pipeline.data.batches import evaluation_batches
from pipeline.training.fit import Splits

BATCH_SIZE = 512
SMALLEST = 1e-30  # probability
MOST = 10.0


def calibrate(network: keras.Model, splits: Splits) -> float | None:
    """Divides the logits by the temperature with the lowest cross-entropy on validation images.

    Returns:
        The temperature; None, and the network as it was, where it does not end in a dense layer
        and a softmax.
    """
    *_, dense, last = network.layers
    if not (
        _is(last, "softmax") and isinstance(dense, keras.layers.Dense) and _is(dense, "linear")
    ):
        return None
    found = temperature(*_answers(network, splits))
    dense.set_weights([weight / found for weight in dense.get_weights()])
    return found


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The number by which to divide logits, from 1/MOST to MOST.

    As in Platt's scaling, a label is taken for 1 less in count + 2 images, or of few images that
    are all answered well nothing would be sure enough.

    Args:
        logits: float64 (count, classes).
        labels: int64 (count,).
    """
    count, classes = logits.shape
    doubt = 1 / (count + 2)
    targets = np.full(logits.shape, doubt / classes)
    targets[np.arange(count), labels] += 1 - doubt

    def loss(logarithm: float) -> float:
        return float(-(targets * log_softmax(logits / np.exp(logarithm), axis=1)).sum())

    ends = -np.log(MOST), np.log(MOST)
    return float(np.exp(minimize_scalar(loss, bounds=ends, method="bounded").x))


def _answers(network: keras.Model, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Logits, but for a constant each, float64 (count, classes); and int64 labels (count,)."""
    logits, labels = [], []
    batches = evaluation_batches(splits.validation, splits.num_classes, BATCH_SIZE)
    for images, targets in batches:
        probabilities = np.asarray(network(images, training=False), np.float64)
        logits.append(np.log(np.maximum(probabilities, SMALLEST)))
        labels.append(tf.argmax(targets, axis=1).numpy())
    return np.concatenate(logits), np.concatenate(labels)


def _is(layer: Any, function: str) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") == function
