"""Ends a training whose loss is no longer a number, or went far beyond that of guessing."""

import math
from pathlib import Path
from typing import Any

import keras

from pipeline.config.schema import TrainSection
from pipeline.core.errors import DivergedError
from pipeline.training.callbacks import KeepBest
from pipeline.training.checkpoint import State

# A network that guesses has the loss ln(classes); the first steps of a good training reach a few
# times that.
MOST_GUESSES = 10
STEP_DOWN = 10
BEFORE = "before-divergence.keras"


class StopOnDivergence(keras.callbacks.Callback):
    """Looks at the loss of each step and each epoch."""

    def __init__(self, section: TrainSection) -> None:
        super().__init__()
        self._section = section
        self._factor = section.loss_factor
        self._epoch = -1
        self._before = math.inf
        self._penalty = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch != self._epoch:  # else it goes on within the epoch that it remembers
            self._penalty = _penalty(self.model)
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            self._stop(f"the loss became {logs['loss']} at step {batch + 1} of")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["val_loss"]):
            self._stop(f"the validation loss became {logs['val_loss']} at the end of")
        guessing = math.log(max(2, self.model.output_shape[-1])) * self._factor
        is_last = epoch + 1 == self.params["epochs"]
        # The loss holds the penalties on weights. Those the epoch began with may stay; if they
        # grow by far more than a loss can fall for it, that is no training either.
        most = MOST_GUESSES * guessing + self._penalty
        if logs["loss"] > most and (logs["loss"] > self._before or is_last):
            with_penalty = guessing + self._penalty
            self._stop(
                f"the loss reached {logs['loss']:.3g}, where guessing has {with_penalty:.3g}, in"
            )
        self._before = logs["loss"]

    def state(self) -> State:
        return State({"before": self._before, "epoch": self._epoch, "penalty": self._penalty})

    def restore(self, state: State) -> None:
        values = state.values
        self._before, self._epoch = values["before"], values["epoch"]
        self._penalty = values["penalty"]

    def _stop(self, what: str) -> None:
        rate = self._section.learning_rate
        lower = f"lower train.learning_rate, now {rate:g}, to {rate / STEP_DOWN:g} or so"
        narrow = {layer.compute_dtype for layer in self.model.layers} - {"float32"}
        other = ", or train with train.precision=float32" if narrow else ""
        raise DivergedError(f"train: {what} epoch {self._epoch + 1}; {lower}{other}")


def _penalty(model: Any) -> float:
    """What the L1 and L2 penalties on weights add to the loss at this moment."""
    weights = model.trainable_variables
    return sum(float(weight.regularizer(weight)) for weight in weights if weight.regularizer)


def with_last_good(
    error: DivergedError, untrained: Any, best: KeepBest, folder: Path
) -> DivergedError:
    """Saves the best weights from before a training diverged; gives the error that says where."""
    if not best.weights:
        return DivergedError(f"{error}; no epoch had ended well")
    untrained.set_weights(best.weights[: len(untrained.weights)])
    path, unfinished = folder / BEFORE, folder / f"unfinished-{BEFORE}"
    untrained.save(unfinished)
    unfinished.replace(path)
    accuracy = f"{best.logs['val_accuracy']:.2%}"
    return DivergedError(
        f"{error}; the weights of epoch {best.epoch + 1} (validation accuracy {accuracy}) are kept "
        f"in {path}",
        path,
    )
