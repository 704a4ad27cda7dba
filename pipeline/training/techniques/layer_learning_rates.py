"""Gives an optimizer another learning rate for each variable, from a step of its own on."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from keras import ops

from pipeline.training.techniques.freezing import Treatment


class Rate(NamedTuple):
    """What a variable's learning rate is multiplied by; before its first step, by 0."""

    factor: float = 1.0
    first_step: int = 0


def set_rates(model: Any, found: Iterable[Treatment], steps_per_epoch: int) -> None:
    """Makes a compiled model's optimizer train layers as they are to be treated.

    The rate is a function of the optimizer's own count of steps, which a checkpoint holds, so a
    training that goes on changes it at the same step.
    """
    rates = {
        id(weight): Rate(t.factor, (t.first_epoch or 0) * steps_per_epoch)
        for t in found
        for weight in t.layer.weights
    }
    in_order = [rates.get(id(variable), Rate()) for variable in model.trainable_variables]
    if any(rate != Rate() for rate in in_order):
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        give(optimizer, in_order)


def give(optimizer: Any, rates: Sequence[Rate]) -> None:
    """Changes the class of the optimizer.

    Keras has no rates by variable, and its weight decay asks the optimizer itself for the rate,
    so that no optimizer around it would do.
    """
    kind = type(optimizer)
    own = {"rates": tuple(rates)}
    optimizer.__class__ = type(f"{kind.__name__}ByVariable", (_RatesByVariable, kind), own)


class _RatesByVariable:
    """Goes in front of an optimizer's class.

    Attributes:
        rates: one for each trainable variable, in the model's order.
    """

    rates: tuple[Rate, ...]
    _decaying: int | None = None

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        scaled = self._scaled(learning_rate, self._index(variable))
        super().update_step(gradient, variable, scaled)  # type: ignore[misc]

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        for variable in variables:
            with self._decay_of(variable):
                super()._apply_weight_decay([variable])  # type: ignore[misc]

    def _get_current_learning_rate(self) -> Any:
        rate = super()._get_current_learning_rate()  # type: ignore[misc]
        return rate if self._decaying is None else self._scaled(rate, self._decaying)

    @contextmanager
    def _decay_of(self, variable: Any) -> Iterator[None]:
        self._decaying = self._index(variable)
        try:
            yield
        finally:
            self._decaying = None

    def _index(self, variable: Any) -> int:
        return int(self._get_variable_index(variable))  # type: ignore[attr-defined]

    def _scaled(self, learning_rate: Any, index: int) -> Any:
        factor, first_step = self.rates[index]
        scaled = learning_rate * factor
        if not first_step:
            return scaled
        has_begun = ops.greater_equal(self.iterations, first_step)  # type: ignore[attr-defined]
        return scaled * ops.cast(has_begun, "float32")
