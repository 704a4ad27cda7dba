"""Commands that look at what was made, on the smoke run."""

from functools import partial

import pytest

from export.formats import recommendation
from export.formats.recommendation import Limits
from export.formats.verdict import Check, FormatVerdict, Micro
from pipeline.cli import status
from tests.command_line import call_here

CHECK = Check("runs", 0, 0, True, "")


@pytest.fixture
def recommend(smoke_run):
    return partial(call_here, "recommend", "--artifacts", smoke_run)


@pytest.mark.tflite_micro
def test_the_pick_is_marked_and_explained(recommend):
    done = recommend("--target", "microcontroller")
    assert done.returncode == 0, done.stderr
    (marked,) = [line for line in done.stdout.splitlines() if "ship this" in line]
    assert marked.startswith("tflite_int8")
    assert "tflite_int8 is the only one that fits: " in done.stdout


@pytest.mark.tflite_micro
def test_the_file_to_ship_and_its_run_are_named(recommend, smoke_run):
    (run,) = (smoke_run / "runs").iterdir()
    said = recommend("--target", "microcontroller").stdout.splitlines()
    assert said[-2:] == [
        f"file     {run / 'export' / 'tflite_int8.tflite'}",
        f"run      {run}",
    ]


def test_limits_that_nothing_holds_end_with_exit_code_3(recommend):
    done = recommend("--target", "server", "--max-kb", "1")
    assert done.returncode == 3
    assert " kB is over 1)" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("run      ")


def test_a_file_that_could_not_be_tried_there_sends_to_another_machine():
    row = FormatVerdict("tflite_int8", "x", (CHECK,), micro=Micro(absence="it is not here"))
    result = recommendation.recommend([row], "microcontroller", Limits())
    assert status._way_out(result, Limits()) == (
        "verify it where TensorFlow Lite Micro runs, on Linux on x86-64"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "brwser"], "--target 'brwser'. Did you mean 'browser'?"),
        (
            ["--target", "server", "--min-accuracy", "0.99"],
            "--min-accuracy 0.99 is in percent; 99?",
        ),
    ],
)
def test_a_call_that_means_nothing_ends_with_exit_code_2(recommend, arguments, message):
    done = recommend(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
