"""What watches training: progress, history, the best weights so far, trouble."""

import csv
from pathlib import Path
from time import monotonic
from typing import Any

import keras
import numpy as np

from pipeline.errors import StageError
from pipeline.progress import Task

COLUMNS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds")


class ShowProgress(keras.callbacks.Callback):
    """Advances a task by the steps that each execution ran."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task
        self._note = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._done = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        steps, self._done = batch + 1 - self._done, batch + 1
        self._task.advance(steps, self._note)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._note = f"epoch {epoch + 1}: validation accuracy {logs['val_accuracy']:.2%}"


class KeepBest(keras.callbacks.Callback):
    """Keeps a copy of the weights of the epoch that did best on validation."""

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self._monitor = monitor
        self._sign = 1 if monitor == "val_accuracy" else -1
        self._best_score = -np.inf
        self.epoch = -1
        self.weights: list[np.ndarray] = []
        self.logs: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        score = self._sign * logs[self._monitor]
        if score > self._best_score:
            self._best_score = score
            self.epoch = epoch
            self.weights = self.model.get_weights()
            self.logs = {key: float(value) for key, value in logs.items()}


class WriteHistory(keras.callbacks.Callback):
    """Writes one row an epoch to `history.csv`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def on_train_begin(self, logs: Any = None) -> None:
        with self._path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(COLUMNS)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {key: f"{value:.6g}" for key, value in logs.items()}
        values["epoch"] = str(epoch + 1)
        values["learning_rate"] = f"{float(self.model.optimizer.learning_rate):.6g}"
        values["seconds"] = f"{monotonic() - self._start:.2f}"
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(values.get(column, "") for column in COLUMNS)


class StopOnDivergence(keras.callbacks.Callback):
    """Ends training when a loss is no longer a number."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        _check_finite("the loss", logs["loss"], f"step {batch + 1} of an epoch")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        _check_finite("the validation loss", logs["val_loss"], f"the end of epoch {epoch + 1}")


def _check_finite(name: str, loss: float, moment: str) -> None:
    if not np.isfinite(loss):
        raise StageError(
            f"train: {name} became {loss} at {moment}; "
            "lower train.learning_rate, or train with train.precision=float32"
        )
