"""check-data, on small sets of arrays."""

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from pipeline.core.plugins import ROOT
from tests.command_line import call_here

call = partial(call_here, "check-data")


@pytest.fixture
def data(tmp_path):
    """Overrides for a set of two classes, one of whose test images is in training too."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (120, 16, 16), np.uint8)
    images[100] = images[0]
    labels = np.arange(120) % 2
    path = tmp_path / "set.npz"
    arrays = {"x_train": images[:100], "x_test": images[100:]}
    np.savez(path, y_train=labels[:100], y_test=labels[100:], **arrays)
    return ["data.source=npz", f"data.file={path}"]


def test_findings_are_shown_with_examples(data):
    done = call(*data)
    assert done.returncode == 0, done.stderr
    *classes, heads, row, example, last = done.stdout.splitlines()
    assert [line.split() for line in classes] == [
        ["class", "training", "validation", "test"],
        ["0", "45", "4", "10"],
        ["1", "46", "4", "10"],
    ]
    assert heads.split()[:2] == ["level", "check"]
    assert row.split(maxsplit=2)[:2] == ["warn", "leakage"]
    assert "1 training image in the test split too, equal or nearly so; left out of" in row
    assert example.split() == ["image", "0", "(train)", "=", "image", "0", "(test)"]
    assert last == "To work with: 91 training, 8 validation, 20 test images"
    assert done.stderr == ""


def test_sound_data_are_said_to_be_so(data):
    done = call(*data, "data.checks.leakage=ignore")
    assert done.stdout.splitlines()[-1].startswith("Nothing found. To work with: 9")


def test_a_failure_ends_with_exit_code_2_and_writes_nothing(data, tmp_path):
    done = call(*data, "data.checks.leakage=fail")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == "error  mnist: leakage: a run would end here; data.checks.leakage=warn goes on"
    assert "fail   leakage" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_json_is_all_that_is_printed(data):
    done = call(*data, "--json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["check"], finding["count"]) == ("leakage", 1)


def test_the_lists_are_written_where_asked_for(data, tmp_path):
    done = call(*data, "--output", tmp_path / "new" / "folder")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["alike.npz", "checks.json", "duplicates.csv"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.checks.leakage=error", "data.checks.leakage is 'error'. Available: ignore, warn,"),
        ("data.checks.leakags=warn", "leakags is no known key. Did you mean 'leakage'?"),
        ("data.checks.similarity=2", "data.checks.similarity is 2; it should be less than"),
    ],
)
def test_a_wrong_setting_ends_with_what_is_right(override, message):
    done = call(override)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_neither_tensorflow_nor_keras_is_imported(data):
    code = (
        "import sys\nfrom pipeline.cli import main\n"
        f"sys.argv = ['run_pipeline.py', 'check-data', *{data!r}]\n"
        "try:\n    main.main()\nfinally:\n    print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "'pipeline.data.ingest'" in done.stdout
    assert not {"'tensorflow'", "'keras'", "'matplotlib'"} & set(done.stdout.split(", "))
