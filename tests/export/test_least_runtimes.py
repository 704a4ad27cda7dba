"""The smaller TFLite files in releases of TensorFlow Lite that devices really have.

Each release in an environment of its own, made of Python 3.9, which is the last that the older one
was built for. `EVENKEEL_ARTIFACTS` names a folder of artifacts in which the default is trained.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.formats import contract
from export.formats.format import answers, formats
from pipeline.core.plugins import ROOT
from pipeline.data.tfrecords import open_split

pytestmark = pytest.mark.long
RELEASES = ("2.7.0", "2.14.0")
NAMES = ("tflite_dynamic", "tflite_int8")
ASK = """
import sys, numpy
from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
answers = []
for image in numpy.load(sys.argv[2]):
    interpreter.set_tensor(taken["index"], image[None].astype(taken["dtype"]))
    interpreter.invoke()
    answers.append(int(interpreter.get_tensor(given["index"])[0].argmax()))
numpy.save(sys.argv[3], answers)
"""


def starts(python):
    return subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0


def python_39():
    """What the path finds may be a stand-in of pyenv for a version that is not chosen."""
    found = [shutil.which("python3.9"), *Path.home().glob(".pyenv/versions/3.9.*/bin/python")]
    return next((str(path) for path in found if path and starts(path)), None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The newest run of the default config, without a search, in a folder of artifacts."""
    asked = os.environ.get("EVENKEEL_ARTIFACTS")
    artifacts = Path(asked) if asked else tmp_path_factory.mktemp("artifacts")
    command = [sys.executable, "run_pipeline.py", "run", "--to", "export", "tune.enabled=false"]
    subprocess.run([*command, "--artifacts", artifacts], cwd=ROOT, check=True)
    return max((artifacts / "runs").iterdir(), key=lambda path: path.name)


@pytest.fixture(scope="module", params=RELEASES)
def runtime(request, tmp_path_factory):
    if (python := python_39()) is None:
        pytest.skip("there is no Python 3.9, for which older releases were built")
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([python, "-m", "venv", folder], check=True)
    packages = ["numpy<1.24", f"tflite-runtime=={request.param}"]
    subprocess.run([folder / "bin/pip", "install", "--quiet", *packages], check=True)
    return folder / "bin/python"


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_as_in_litert(run, runtime, name, tmp_path):
    split = open_split(run / "ingest", "test")
    test = split.read(np.arange(len(split.labels())))
    path = run / "export" / formats()[name].path
    np.save(tmp_path / "images.npy", test.images)
    arguments = [path, tmp_path / "images.npy", tmp_path / "given.npy"]
    subprocess.run([runtime, "-c", ASK, *arguments], check=True)
    found = (np.load(tmp_path / "given.npy") == test.labels).mean()
    here = (answers(name, path, test.images).argmax(axis=1) == test.labels).mean()
    assert found > 0.995
    assert abs(found - here) < 0.001


def test_the_contract_names_a_release_no_later_than_those(run):
    promised = contract.read(run / "export")
    stated = {name: promised.formats[name].runs_from for name in NAMES}
    assert stated == {"tflite_dynamic": "TFLite 2.4.0", "tflite_int8": "TFLite 1.14.0"}
