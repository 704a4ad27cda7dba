"""The optimizer and the loss that the config names, and the learning rate step by step."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipeline.config.schema import TrainSection


def learning_rate(section: TrainSection, total_steps: int) -> Any:
    """What a Keras optimizer takes as its learning rate.

    Args:
        section: `learning_rate` is the highest value; the others fall to its `final_fraction`.
        total_steps: optimizer steps of the whole training.
    """
    peak, final = section.learning_rate, section.learning_rate * section.final_fraction
    if section.schedule == "constant":
        return peak
    if section.schedule == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(
            peak, decay_steps=total_steps, decay_rate=section.final_fraction
        )
    if section.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            peak, decay_steps=total_steps, alpha=section.final_fraction
        )
    return OneCycle(peak, final, round(section.warmup_fraction * total_steps), total_steps)


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rises on a half cosine from peak / 25, then falls on a half cosine to the final rate.

    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018, in the two-phase form with cosine annealing.
    """

    START_DIVISOR = 25.0

    def __init__(self, peak: float, final: float, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.final = peak, final
        self.warmup_steps, self.total_steps = warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        start = self.peak / self.START_DIVISOR
        falling_steps = max(1, self.total_steps - self.warmup_steps)
        up = _half_cosine(start, self.peak, step / max(1, self.warmup_steps))
        down = _half_cosine(self.peak, self.final, (step - self.warmup_steps) / falling_steps)
        return ops.where(step < self.warmup_steps, up, down)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "final": self.final,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


def _half_cosine(begin: float, end: float, share: Any) -> Any:
    """Goes from begin to end while share goes from 0 to 1."""
    return end + (begin - end) * 0.5 * (1.0 + ops.cos(np.pi * ops.clip(share, 0.0, 1.0)))


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
