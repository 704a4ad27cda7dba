"""Ends a training whose loss is no longer a number, or went far beyond that of guessing."""

import math
from pathlib import Path
from typing import Any

import keras

from pipeline.config import TrainSection
from pipeline.errors import StageError
from pipeline.training.callbacks import KeepBest
from pipeline.training.checkpoint import State

# A network that guesses has the loss ln(classes); the first steps of a good training reach a few
# times that.
MOST_GUESSES = 10
STEP_DOWN = 10
BEFORE = "before-divergence.keras"


class DivergedError(StageError):
    """A training that went wrong; its message ends where advice may begin."""


class StopOnDivergence(keras.callbacks.Callback):
    """Looks at the loss of each step and each epoch."""

    def __init__(self, section: TrainSection) -> None:
        super().__init__()
        self._section = section
        self._epoch = 0
        self._before = math.inf

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            self._stop(f"the loss became {logs['loss']} at step {batch + 1} of")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["val_loss"]):
            self._stop(f"the validation loss became {logs['val_loss']} at the end of")
        guessing = math.log(max(2, self.model.output_shape[-1]))
        is_last = epoch + 1 == self.params["epochs"]
        if logs["loss"] > MOST_GUESSES * guessing and (logs["loss"] > self._before or is_last):
            self._stop(
                f"the loss reached {logs['loss']:.3g}, where guessing has {guessing:.3g}, in"
            )
        self._before = logs["loss"]

    def state(self) -> State:
        return State({"before": self._before})

    def restore(self, state: State) -> None:
        self._before = state.values["before"]

    def _stop(self, what: str) -> None:
        rate = self._section.learning_rate
        lower = f"lower train.learning_rate, now {rate:g}, to {rate / STEP_DOWN:g} or so"
        narrow = {layer.compute_dtype for layer in self.model.layers} - {"float32"}
        other = ", or train with train.precision=float32" if narrow else ""
        raise DivergedError(f"train: {what} epoch {self._epoch + 1}; {lower}{other}")


def keep_last_good(untrained: Any, best: KeepBest, folder: Path) -> str:
    """Saves the best weights before a training diverged; says where, and how to use them."""
    if not best.weights:
        return "no epoch had ended well"
    untrained.set_weights(best.weights)
    path, unfinished = folder / BEFORE, folder / f"unfinished-{BEFORE}"
    untrained.save(unfinished)
    unfinished.replace(path)
    return (
        f"the weights of epoch {best.epoch + 1} (validation accuracy "
        f"{best.logs['val_accuracy']:.2%}) are kept: train.model_file={path} takes them as they are"
    )
