"""The optimizer and the loss that the config names."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.config.schema import TrainSection
from pipeline.training.schedule import learning_rate


def create_optimizer(section: TrainSection, total_steps: int) -> Any:
    """A Keras optimizer with its schedule, weight decay and weight average."""
    rate = learning_rate(section, total_steps)
    shared = {
        "weight_decay": section.weight_decay or None,
        "use_ema": section.ema_momentum is not None,
        "ema_momentum": section.ema_momentum or 0.99,
    }
    if section.optimizer == "sgd":
        return keras.optimizers.SGD(
            rate, momentum=section.momentum, nesterov=section.nesterov, **shared
        )
    if section.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate, **shared)
    if section.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, **{**shared, "weight_decay": section.weight_decay})
    return keras.optimizers.Adam(rate, **shared)


def compile_model(
    model: Any, section: TrainSection, total_steps: int, execution: Mapping[str, Any]
) -> None:
    """Makes the model ready for `fit` on one-hot labels.

    Args:
        model: the network.
        section: what to train with.
        total_steps: optimizer steps of the whole training.
        execution: `jit_compile` and `steps_per_execution`, as `compile` takes them.
    """
    model.compile(
        optimizer=create_optimizer(section, total_steps),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=section.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        **execution,
    )


def class_weights(counts: Sequence[int]) -> dict[int, float]:
    """Weights by which each class counts the same: total / (classes × count of the class)."""
    total, classes = sum(counts), sum(1 for count in counts if count)
    return {i: total / (classes * count) for i, count in enumerate(counts) if count}


def weigh(
    images: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Targets and sample weights whose loss counts each share of a target by its class' weight.

    With s = Σ w y and y' = w y / s, s times the cross-entropy of y' is -Σ w y log p. Keras'
    `class_weight` gives the whole target the weight of its largest share instead.

    Args:
        images: passed through.
        targets: y, float32 (batch, classes), one-hot or mixed.
        weights: w, float32 (classes,), above 0.
    """
    weighted = targets * weights
    sums = tf.reduce_sum(weighted, axis=1)
    return images, weighted / sums[:, None], sums
