import csv
import math

import numpy as np
import pytest

from pipeline.evaluation.predictions import Predictions, write_csv

PREDICTIONS = Predictions(
    np.array([0, 1, 0, 1]),
    np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]], np.float32),
)


def test_of_equal_probabilities_the_first_class_is_predicted():
    assert PREDICTIONS.predicted.tolist() == [0, 0, 1, 0]


def test_worst_mistakes_come_by_loss_and_leave_right_answers_out():
    assert PREDICTIONS.worst_mistakes(9).tolist() == [2, 1, 3]
    assert PREDICTIONS.worst_mistakes(1).tolist() == [2]
    assert PREDICTIONS.worst_mistakes(0).tolist() == []


def test_mistakes_of_equal_loss_keep_the_order_of_the_split():
    two_losses = np.array([[0.7, 0.3], [0.8, 0.2]] * 100, np.float32)
    worst = Predictions(np.ones(200, np.int64), two_losses).worst_mistakes(200)
    assert worst.tolist() == [*range(1, 200, 2), *range(0, 200, 2)]


def test_the_csv_names_classes_and_keeps_awkward_ones_whole(tmp_path):
    path = tmp_path / "predictions.csv"
    write_csv(PREDICTIONS, ('a, "b"', "ä"), path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "label", "prediction", "probability", "loss"]
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["label"] for row in rows] == ['a, "b"', "ä", 'a, "b"', "ä"]
    assert rows[2]["prediction"] == "ä"
    assert float(rows[2]["probability"]) == pytest.approx(0.8)
    assert float(rows[2]["loss"]) == pytest.approx(-math.log(0.2), abs=1e-6)


def test_the_csv_names_files_in_the_order_of_the_split(tmp_path):
    path = tmp_path / "predictions.csv"
    files = ("b.png", 'a, "1".png', "ä.png", "d.png")
    write_csv(PREDICTIONS, ("no", "yes"), path, files)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == list(files)
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"]


def test_files_of_another_number_are_no_files_of_these_images(tmp_path):
    with pytest.raises(ValueError, match="argument"):
        write_csv(PREDICTIONS, ("no", "yes"), tmp_path / "predictions.csv", ("b.png",))
