"""The recipes of CONTRIBUTING.md, all followed to the letter in one copy, which is then run."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from pipeline.core.plugins import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ADDING = TEXT.partition("\n## Adding something\n")[2].partition("\n## ")[0]
NEW_FILE = re.compile(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGES = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGED_FILE = re.compile(r"^--- (\S+)\n(.*?)(?=^--- |\Z)", re.MULTILINE | re.DOTALL)
CONFIG = """\
data: {source: bars, count: 300}
augmentation: {solarize_probability: 0.5}
model: {preset: one_conv, filters: 8}
train:
  epochs: 4
  batch_size: 10
  precision: float32
  jit_compile: false
  gradient_clipping: {norm: 1.0}
export: {formats: [tflite_gzip]}
verify: {warmup_runs: 1, timed_runs: 5}
"""
RUN = """
import tensorflow as tf
from pipeline.config.augmentation import AugmentationSection
from pipeline.data.augmentation.photometric import change_values

image = tf.constant([100.0, 200.0], shape=(1, 1, 2, 1))
solarized = change_values(image, AugmentationSection(solarize_probability=1.0), [1, 2])
print("solarized", solarized.numpy().ravel().tolist(), flush=True)
from children_here import children_here
from pipeline.cli.main import main

with children_here():
    main()
"""


def follow(folder):
    """Writes the new files, and then changes the others, as CONTRIBUTING.md says."""
    for name, code in NEW_FILE.findall(ADDING):
        path = folder / name
        assert not path.exists(), name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
    for changes in CHANGES.findall(ADDING):
        for name, hunks in CHANGED_FILE.findall(changes):
            path = folder / name
            text = path.read_text(encoding="utf-8")
            for hunk in hunks.split("@@\n")[1:]:
                text = changed(text, hunk.splitlines(keepends=True), name)
            path.write_text(text, encoding="utf-8")


def changed(text, hunk, name):
    before = "".join(line[1:] for line in hunk if line[0] in " -")
    after = "".join(line[1:] for line in hunk if line[0] in " +")
    assert text.count(f"\n{before}") == 1, f"{name} has {text.count(before)} times:\n{before}"
    return text.replace(f"\n{before}", f"\n{after}")


@pytest.fixture
def folder(tmp_path):
    for part in ("pipeline", "export"):
        left_out = shutil.ignore_patterns("__pycache__", "datasets", "node_modules")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=left_out)
    for file in ("run_pipeline.py", "pyproject.toml"):
        shutil.copyfile(ROOT / file, tmp_path / file)
    shutil.copy(ROOT / "tests" / "children_here.py", tmp_path)
    (tmp_path / "bars.yaml").write_text(CONFIG, encoding="utf-8")
    follow(tmp_path)
    return tmp_path


def call(folder, *command):
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_every_recipe_that_is_followed_to_the_letter_works(folder):
    call(folder, "-m", "ruff", "check", "--quiet", "pipeline", "export")
    said = call(folder, "-c", RUN, "run", "-c", "bars.yaml")
    assert "solarized [100.0, 55.0]" in said
    assert "gradients no longer than 1" in said
    (run,) = (folder / "artifacts" / "runs").glob("*-bars")
    assert (run / "index" / "classes.txt").read_text("utf-8") == "left\nmiddle\nright\n"
    figures = json.loads((run / "evaluate" / "metrics.json").read_text("utf-8"))
    assert 0 < figures["mean_margin"] < 1
    report = (run / "evaluate" / "report.html").read_text("utf-8")
    assert "<dt>Margin</dt>" in report
    assert "<h2>Confidence</h2>" in report
    found = json.loads((run / "ingest" / "checks.json").read_text("utf-8"))["findings"]
    assert "take them again" in next(f["message"] for f in found if f["check"] == "dark_images")
    example = run / "export" / "runtimes" / "kiosk" / "README.md"
    assert example.read_text("utf-8").startswith("# 3 classes on a kiosk\n")
    assert call(folder, "run_pipeline.py", "classes") == "left\nmiddle\nright\n"
    recommended = call(folder, "run_pipeline.py", "recommend", "--target", "kiosk")
    assert "tflite_float32.tflite.gz" in recommended


@pytest.mark.long
def test_mypy_finds_nothing_wrong_with_what_the_recipes_say(folder):
    call(folder, "-m", "mypy")


def test_each_recipe_has_something_to_follow():
    recipes = re.split(r"^### ", ADDING, flags=re.MULTILINE)[1:]
    assert len(recipes) >= 12
    for recipe in recipes:
        assert NEW_FILE.search(recipe) or CHANGES.search(recipe), recipe.partition("\n")[0]
