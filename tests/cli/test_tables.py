"""The table that ends every run, on formats that passed, failed and never ran."""

from dataclasses import replace
from pathlib import Path

import pytest

from export.formats.recommendation import Recommendation
from export.formats.verdict import Check, FormatVerdict, Micro, Verdict
from pipeline.cli import tables
from pipeline.workflow.runs import Run
from tests.command_line import console_of

HELD = Check("ties apart", 0, 0, True, "")
MISSED = Check("accuracy", 0.9, 0.3, False, "loses 0.90 points, at most 0.30 are allowed")
NOT_RUN = Check("runs", None, None, False, "its check was killed by SIGKILL")
ROWS = (
    FormatVerdict(
        "onnx", "model.onnx", (HELD,), 314_000, "r", 0.995, 0.001, 1.0, 0, 0.0, 0.1, 0.25, 3
    ),
    FormatVerdict(
        "tflite_int8", "i.tflite", (MISSED,), 90_000, "r", 0.986, -0.9, 0.99, 9, 0.4, 0.04, 0.1, 1
    ),
    FormatVerdict("saved_model", "saved_model", (NOT_RUN,)),
)


def shown(width):
    console = console_of(width)
    tables.show_formats(console, Verdict(10_000, 0.995, 1, 20, 200, ROWS))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def classes_shown(classes, counts):
    console = console_of(120)
    tables.show_classes(console, classes, counts)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_each_class_has_a_row_with_its_images_by_split():
    counts = {"test": [1_000, 7], "train": [12_345, 20], "validation": [0, 3]}
    assert classes_shown(("[red]cat", "d" * 60), counts) == [
        f"{'class':<40}  training  validation   test",
        f"{'[red]cat':<40}    12,345           0  1,000",
        f"{'d' * 39}…        20           3      7",
    ]


def test_of_many_classes_the_first_are_shown_and_how_far_the_others_go():
    counts = {"train": list(range(100)), "validation": [5] * 100, "test": [9, *range(99)]}
    _, *rows, last = classes_shown([f"c{n}" for n in range(100)], counts)
    assert len(rows) == 11
    assert rows[10].split() == ["c10", "10", "5", "9"]
    assert last.split() == ["89", "more", "11–99", "5", "10–98"]
    assert len(classes_shown([str(n) for n in range(12)], dict.fromkeys(counts, [1] * 12))) == 13


def test_a_wide_terminal_shows_every_figure_of_a_format():
    header, passed, failed, not_run, *rest = shown(120)
    names = ["format", "size", "accuracy", "to", "Keras", "agreement", "p50", "verdict"]
    assert header.split() == [*names, "p95", "load", "file"]
    assert " ".join(passed.split()) == (
        "onnx 314 kB 99.50% 0.00 pt 100.00% 0.100 ms pass 0.250 ms 3.0 ms model.onnx"
    )
    assert "-0.90 pt" in failed
    assert "fail" in failed
    assert not_run.split() == ["saved_model", *"–––––", "fail", "–", "–", "saved_model"]
    assert rest == [
        "10,000 test images; Keras 99.50%; p50 of 200 runs on one image, 1 thread, "
        "after 20 to warm up",
        "tflite_int8 was not asked in TensorFlow Lite Micro",
        "tflite_int8  loses 0.90 points, at most 0.30 are allowed",
        "saved_model  its check was killed by SIGKILL",
    ]


@pytest.mark.parametrize("width", [80, 117])
def test_a_narrow_terminal_folds_nothing(width):
    header, *rows = shown(width)
    assert header.split()[-1] == "verdict"
    assert [row.split()[0] for row in rows[:3]] == ["onnx", "tflite_int8", "saved_model"]


def test_a_file_that_could_not_be_tried_for_microcontrollers_is_told_of():
    row = replace(ROWS[1], micro=Micro(absence="it is not [here]"))
    console = console_of(120)
    tables.show_formats(console, Verdict(10_000, 0.995, 1, 20, 200, (row,)))
    said = "tflite_int8 was not run here in TensorFlow Lite Micro: it is not [here]"
    assert said in console.file.getvalue().splitlines()


RUN = Run(Path("artifacts/runs/none"), {})


@pytest.mark.parametrize("was_busy", [True, False])
def test_times_of_a_busy_machine_are_called_so(was_busy):
    console = console_of(120)
    tables.show_recommendation(console, Recommendation((), None, "", was_busy), RUN)
    assert ("timed on a busy machine" in console.file.getvalue()) is was_busy
