"""What watches training: progress, history, the best weights so far."""

import csv
from pathlib import Path
from time import monotonic
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.core.progress import Task
from pipeline.training.checkpoint import State

COLUMNS = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds")


class ShowProgress(keras.callbacks.Callback):
    """Advances a task by the steps that each execution ran, and by those of an earlier run."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task
        self._note = ""
        self._done = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._before = epoch * self.params["steps"]
        if self._before > self._done:
            self._reach(self._before)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._reach(self._before + batch + 1)

    def _reach(self, step: int) -> None:
        steps, self._done = step - self._done, step
        self._task.advance(steps, self._note)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._note = f"epoch {epoch + 1}: validation accuracy {logs['val_accuracy']:.2%}"


class KeepBest(keras.callbacks.Callback):
    """Keeps a copy of the weights of the epoch that did best on validation."""

    def __init__(self, monitor: str, first_epoch: int = 0) -> None:
        """Takes what to judge by, and the first epoch, from 0, that may be kept."""
        super().__init__()
        self._monitor, self._first_epoch = monitor, first_epoch
        self._sign = 1 if monitor == "val_accuracy" else -1
        self._best_score = -np.inf
        self.epoch = -1
        self.weights: list[np.ndarray] = []
        self.logs: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        score = self._sign * logs[self._monitor]
        if epoch >= self._first_epoch and score > self._best_score:
            self._best_score = score
            self.epoch = epoch
            self.weights = self.model.get_weights()
            self.logs = {key: float(value) for key, value in logs.items()}

    def state(self) -> State:
        values = {"score": float(self._best_score), "epoch": self.epoch, "logs": self.logs}
        return State(values, self.weights)

    def restore(self, state: State) -> None:
        self._best_score, self.epoch = state.values["score"], state.values["epoch"]
        self.logs, self.weights = state.values["logs"], list(state.arrays)


class StopEarly(keras.callbacks.EarlyStopping):
    """Ends training when the monitored value no longer improves."""

    def state(self) -> State:
        best = None if self.best is None else float(self.best)
        return State({"best": best, "best_epoch": self.best_epoch, "wait": self.wait})

    def restore(self, state: State) -> None:
        self.best, self.best_epoch = state.values["best"], state.values["best_epoch"]
        self.wait = state.values["wait"]


class AverageWeights(keras.callbacks.SwapEMAWeights):
    """Has the average of the weights in the model from the end of an epoch to the next."""

    def __init__(self) -> None:
        super().__init__(swap_on_epoch=True)

    def state(self) -> State:
        return State({"average_in_model": self._ema_weights_in_model})

    def restore(self, state: State) -> None:
        self._ema_weights_in_model = state.values["average_in_model"]


class WriteHistory(keras.callbacks.Callback):
    """Writes one row an epoch to `history.csv`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._rows: list[list[str]] = []
        self._start, self._seconds_before = 0.0, 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self._write("w", [list(COLUMNS)])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = monotonic() - self._seconds_before
        self._seconds_before = 0.0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {key: f"{value:.6g}" for key, value in logs.items()}
        values["epoch"] = str(epoch + 1)
        values["learning_rate"] = f"{_rate(self.model):.6g}"
        values["seconds"] = f"{monotonic() - self._start:.2f}"
        self._rows.append([values.get(column, "") for column in COLUMNS])
        self._write("a", self._rows[-1:])

    def _write(self, mode: str, rows: list[list[str]]) -> None:
        with self._path.open(mode, newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def state(self) -> State:
        return State({"rows": self._rows, "seconds": monotonic() - self._start})

    def restore(self, state: State) -> None:
        self._rows, self._seconds_before = state.values["rows"], state.values["seconds"]
        self._write("a", self._rows)


class WriteTensorBoard(keras.callbacks.Callback):
    """Writes the logs that TensorBoard shows, from the first epoch on also where a run goes on."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._epochs: list[dict[str, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._writers = {
            split: tf.summary.create_file_writer(str(self._folder / split))
            for split in ("train", "validation")
        }

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        values = {key: float(value) for key, value in logs.items()}
        values["learning_rate"] = _rate(self.model)
        self._epochs.append(values)
        self._write(epoch)

    def _write(self, epoch: int) -> None:
        for name, value in self._epochs[epoch].items():
            split = "validation" if name.startswith("val_") else "train"
            with self._writers[split].as_default():
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()

    def state(self) -> State:
        return State({"epochs": self._epochs})

    def restore(self, state: State) -> None:
        self._epochs = state.values["epochs"]
        for epoch in range(len(self._epochs)):
            self._write(epoch)


def _rate(model: Any) -> float:
    """The learning rate; float() alone does not take one of which each device has a copy."""
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
