import json
import subprocess
import sys

import pytest

from export.formats import verdict
from export.formats.verdict import Check, FormatVerdict, Verdict

GOOD = Check("same predictions", 0, 0, True, "0 images")
BAD = Check("accuracy drop in points", 0.5, 0.3, False, "half a point too low")


def a_verdict(*rows):
    return Verdict(10, 0.9, 1, 20, 200, rows)


def row(*checks):
    return FormatVerdict("onnx", "model.onnx", checks, size_bytes=9, accuracy=0.9)


def test_a_verdict_is_read_as_it_was_written(tmp_path):
    written = a_verdict(row(GOOD), row(GOOD, BAD))
    verdict.write(written, tmp_path / "verdict.json")
    assert verdict.read(tmp_path / "verdict.json") == written


def test_the_file_says_in_words_what_passed(tmp_path):
    verdict.write(a_verdict(row(GOOD), row(BAD)), tmp_path / "verdict.json")
    plain = json.loads((tmp_path / "verdict.json").read_text())
    assert plain["passed"] is False
    assert [entry["passed"] for entry in plain["formats"]] == [True, False]


def test_a_word_changed_in_the_file_changes_no_verdict(tmp_path):
    path = tmp_path / "verdict.json"
    verdict.write(a_verdict(row(BAD)), path)
    path.write_text(
        path.read_text().replace('"passed": false,\n  "test', '"passed": true,\n  "test')
    )
    assert not verdict.read(path).passed


@pytest.mark.parametrize(
    ("rows", "passed"),
    [
        ((row(GOOD),), True),
        ((row(GOOD), row(GOOD, BAD)), False),
        ((row(),), False),
        ((), False),
    ],
)
def test_nothing_counts_as_passed_by_absence(rows, passed):
    assert a_verdict(*rows).passed is passed


def test_a_row_fails_for_the_reasons_of_its_failed_checks():
    assert row(GOOD, BAD).reason == "half a point too low"
    assert row(GOOD).reason == ""


def test_reading_a_verdict_imports_no_numpy():
    code = (
        "import sys; from export.formats import contract, verdict; "
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
