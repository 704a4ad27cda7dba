"""TFLite files in MediaPipe's own ImageClassifier, which lives in an environment of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pipeline.core.plugins import ROOT

PINNED = "mediapipe==1.2.3"
FILES = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8", "tflite_int4")
ANSWERS = """
import json, sys
from pathlib import Path
import mediapipe, numpy
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
from PIL import Image

file, folder = sys.argv[1], Path(sys.argv[2])
record = json.loads((folder / "golden.json").read_text("utf-8"))
options = vision.ImageClassifierOptions(tasks.BaseOptions(model_asset_path=file), max_results=-1)
answers = []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for image in record["images"]:
        pixels = numpy.array(Image.open(folder / image["file"]))
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        found = classifier.classify(picture).classifications[0].categories
        shares = {category.category_name: category.score for category in found}
        answers.append([shares.get(label, 0.0) for label in record["labels"]])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that has MediaPipe; installed once, as the packages of npm are."""
    folder = ROOT / "artifacts" / ".environments" / PINNED.replace("==", "-")
    interpreter = folder / "bin" / "python"
    if not (folder / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [interpreter, "-m", "pip", "install", "--quiet", PINNED, "pillow"]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {PINNED}: {done.stderr}")
        (folder / "installed").touch()
    return interpreter


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """Runs the smoke config to its end; gives the run's folder."""

    def run(*overrides):
        artifacts = tmp_path_factory.mktemp("artifacts")
        formats = f"export.formats=[{','.join(FILES)}]"
        more = ("tune.enabled=false", formats, *overrides)
        place = ("--artifacts", artifacts)
        command = [sys.executable, "run_pipeline.py", "run", "-c", "configs/smoke.yaml"]
        subprocess.run([*command, *more, *place], cwd=ROOT, check=True, capture_output=True)
        (folder,) = (artifacts / "runs").iterdir()
        return folder

    return run


def asked(python, run, name):
    file = run / "export" / f"{name}.tflite"
    return subprocess.run(
        [python, "-c", ANSWERS, file, run / "verify" / "golden"], capture_output=True, text=True
    )


def expected(run, name):
    folder = run / "verify" / "golden"
    output = json.loads((folder / "golden.json").read_text("utf-8"))["formats"][name]["output"]
    stored = np.fromfile(folder / output["file"], output["dtype"]).reshape(output["shape"])
    if output["scale"] is None:
        return stored
    return (stored.astype(np.float32) - output["zero_point"]) * output["scale"]


@pytest.mark.long
def test_a_grey_model_with_rgb_input_answers_in_mediapipe_as_in_litert(python, run_of):
    run = run_of("export.rgb_input=true")
    for name in FILES:
        done = asked(python, run, name)
        assert done.returncode == 0, (name, done.stderr[-2000:])
        np.testing.assert_allclose(
            json.loads(done.stdout), expected(run, name), atol=1e-6, err_msg=name
        )


@pytest.mark.long
def test_a_grey_file_is_refused_by_mediapipe_for_its_colours(python, run_of):
    done = asked(python, run_of(), "tflite_float32")
    assert "Only RGB color space is supported" in done.stderr
