"""What watches training, told by hand what a training would tell it."""

import csv

import keras
import numpy as np
import pytest

from pipeline.training.callbacks import KeepBest, ShowProgress, WriteHistory

LOGS = {"accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.5, "val_loss": 1.0}


class FakeModel:
    """Its weights are the number that it holds."""

    def __init__(self):
        self.number = 0.0
        self.optimizer = keras.optimizers.SGD(0.25)

    def get_weights(self):
        return [np.array(self.number)]


class FakeTask:
    def __init__(self):
        self.told = []

    def advance(self, steps=1, note=""):
        self.told.append((steps, note))


def keep_best(monitor, scores):
    best = KeepBest(monitor)
    best.set_model(FakeModel())
    for epoch, score in enumerate(scores):
        best.model.number = float(epoch)
        best.on_epoch_end(epoch, {**LOGS, monitor: score})
    return best


@pytest.mark.parametrize(
    ("monitor", "scores", "epoch"),
    [
        ("val_accuracy", [0.1, 0.8, 0.3], 1),
        ("val_loss", [0.4, 0.8, 0.3], 2),
        ("val_loss", [0.4, 0.4, 0.4], 0),
    ],
)
def test_the_weights_of_the_best_epoch_are_kept_and_of_equals_the_first(monitor, scores, epoch):
    best = keep_best(monitor, scores)
    assert best.epoch == epoch
    assert best.weights == [epoch]
    assert best.logs[monitor] == scores[epoch]


def test_history_has_a_row_an_epoch(tmp_path):
    history = WriteHistory(tmp_path / "history.csv")
    history.set_model(FakeModel())
    history.on_train_begin()
    for epoch in range(2):
        history.on_epoch_begin(epoch)
        history.on_epoch_end(epoch, {**LOGS, "loss": 1 / 3})
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0] == {
        "epoch": "1",
        "accuracy": "0.5",
        "loss": "0.333333",
        "val_accuracy": "0.5",
        "val_loss": "1",
        "learning_rate": "0.25",
        "seconds": rows[0]["seconds"],
    }
    assert float(rows[0]["seconds"]) >= 0


def test_progress_advances_by_the_steps_of_each_execution():
    task = FakeTask()
    progress = ShowProgress(task)
    progress.set_params({"steps": 10})
    for epoch in range(2):
        progress.on_epoch_begin(epoch)
        for batch in (3, 7, 9):
            progress.on_train_batch_end(batch, LOGS)
        progress.on_epoch_end(epoch, {**LOGS, "val_accuracy": 0.875})
    assert [steps for steps, _ in task.told] == [4, 4, 2, 4, 4, 2]
    assert [note for _, note in task.told[2:4]] == ["", "epoch 1: validation accuracy 87.50%"]
