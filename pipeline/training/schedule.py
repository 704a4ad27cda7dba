"""The learning rate as a function of the step."""

from typing import Any

import keras
import numpy as np
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
