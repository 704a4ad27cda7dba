"""Sharpness-aware minimisation (Foret et al. 2021, arXiv:2010.01412)."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from pipeline.training.technique import Technique

LEAST_NORM = 1e-12


class SharpnessAware(Technique):
    """Steps from w by the gradient at w + rho g / |g|, where g is the gradient at w."""

    name = "sharpness_aware"

    def compiled(self, model: Any, steps_per_epoch: int) -> None:
        step_by_uphill_gradient(model, self.settings.rho)


def step_by_uphill_gradient(model: Any, rho: float) -> None:
    """Changes the step of a compiled model.

    Loss and metrics are those at w, and so are the statistics of batch norm. Both passes drop the
    same units. Weight decay, averages and clipping are the optimizer's, which steps from w; a
    scaled loss moves w as far, and where it overflows, the optimizer passes over the step.
    """
    plain, apply_gradients = model.train_step, model.optimizer.apply_gradients

    def train_step(data: Any) -> Any:
        x, y, sample_weight = (*data, None)[:3]
        state = model.non_trainable_variables
        before = _values(state)

        def apply_uphill(pairs: Iterable[tuple[Any, Any]]) -> None:
            gradients, weights = zip(*pairs, strict=True)
            after, here = _values(state), _values(weights)
            _assign(state, before)
            norm = tf.linalg.global_norm(gradients) + LEAST_NORM
            moved = zip(here, gradients, strict=True)
            _assign(weights, [value + rho / norm * gradient for value, gradient in moved])
            with tf.GradientTape() as tape:
                answers = model(x, training=True)
                loss = model.compute_loss(x, y, answers, sample_weight, training=True)
                scaled = model.optimizer.scale_loss(loss)
            uphill = tape.gradient(scaled, weights)
            _assign(weights, here)
            _assign(state, after)
            apply_gradients(zip(uphill, weights, strict=True))

        model.optimizer.apply_gradients = apply_uphill
        return plain(data)

    model.train_step = train_step


def _values(variables: Iterable[Any]) -> list[tf.Tensor]:
    return [tf.identity(variable.value) for variable in variables]


def _assign(variables: Iterable[Any], values: Sequence[tf.Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
