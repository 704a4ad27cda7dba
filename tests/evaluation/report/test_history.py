import math

import pytest

from pipeline.core.errors import DataError
from pipeline.evaluation.report import history


def read(tmp_path, text):
    path = tmp_path / "history.csv"
    path.write_text(text, encoding="utf-8")
    return history.read(path)


def test_columns_are_read_as_points_over_epochs(tmp_path):
    found = read(tmp_path, "epoch,loss,val_loss\n1,0.5,0.4\n2,0.25,0.3\n")
    assert found.points("loss") == [(1, 0.5), (2, 0.25)]
    assert found.points("val_loss") == [(1, 0.4), (2, 0.3)]


def test_a_missing_column_has_no_points(tmp_path):
    assert read(tmp_path, "epoch,loss\n1,0.5\n").points("val_loss") == []


def test_missing_and_infinite_values_are_left_out(tmp_path):
    found = read(tmp_path, "epoch,loss\n1,\n2,nan\n3,inf\n4,0.5\n")
    assert found.points("loss") == [(4, 0.5)]
    assert math.isnan(found.columns["loss"][0])


def test_without_an_epoch_column_epochs_count_from_1(tmp_path):
    assert read(tmp_path, "loss\n0.5\n0.4\n").points("loss") == [(1, 0.5), (2, 0.4)]


def test_a_file_without_rows_is_an_empty_history(tmp_path):
    assert read(tmp_path, "epoch,loss\n").points("loss") == []


def test_a_value_that_is_no_number_is_refused_with_the_file(tmp_path):
    with pytest.raises(DataError, match=r"history\.csv: .*'much'.*--force train"):
        read(tmp_path, "epoch,loss\n1,much\n")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"history\.csv"):
        history.read(tmp_path / "history.csv")


def test_the_epoch_that_was_kept_says_by_what():
    assert history.Kept(3, "val_loss").why == "lowest validation loss"
    assert history.Kept(3, "val_accuracy").why == "highest validation accuracy"
