"""The Python examples, each run as a user runs it: a process of its own."""

import importlib
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from export.deployment import render
from export.formats import contract
from export.formats.format import answers, formats
from export.formats.tensors import with_channels
from export.verification import golden
from export.verification.golden import Answers
from pipeline.data.dataset_json import Preparation
from pipeline.data.images.decoding import Decoding
from pipeline.data.images.read_file import read
from pipeline.data.images.types import LabelledImages
from pipeline.inference import pictures

LITERT = [name for name in formats() if name.startswith("tflite")]
ONNX = ["onnx", "onnx_int8"]


@pytest.fixture(scope="module")
def shipped(exported, tmp_path_factory):
    """An export folder with its examples, and golden images."""
    root = tmp_path_factory.mktemp("shipped")
    shutil.copytree(exported.folder, root / "export")
    render.render(exported.contract, root / "export")
    labels = np.arange(len(exported.images)) % 4
    given = {
        name: Answers(answers(name, exported.path(name), exported.images), "here")
        for name in (*LITERT, *ONNX)
    }
    choices = golden.choose(given["onnx"].probabilities, labels)
    test = LabelledImages(exported.images, labels)
    golden.write(root / "golden", test, given, exported.contract, choices)
    return root


def run(shipped, script, *arguments):
    return run_in(shipped / "export", script, *arguments)


def run_in(export, script, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", f"runtimes/python/{script}", *map(str, arguments)],
        cwd=export,
        capture_output=True,
        text=True,
    )


def script_for(name):
    return "classify_onnx.py" if name in ONNX else "classify_litert.py"


@pytest.mark.parametrize("name", [*LITERT, *ONNX])
def test_the_golden_images_agree(shipped, name):
    model = formats()[name].path
    done = run(shipped, script_for(name), "--model", model, "--check", shipped / "golden")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("32 of 32 agree, largest difference ")


@pytest.mark.parametrize("name", ["onnx", "tflite_int8"])
def test_a_wrong_answer_ends_with_exit_code_1(shipped, name, tmp_path):
    copy = tmp_path / "golden"
    shutil.copytree(shipped / "golden", copy)
    expected = copy / "expected" / f"{name}.bin"
    stored = bytearray(expected.read_bytes())
    stored[:4] = bytes([stored[0] ^ 0x7F, *stored[1:3], stored[3] ^ 0x7F])
    expected.write_bytes(bytes(stored))
    done = run(shipped, script_for(name), "--model", formats()[name].path, "--check", copy)
    assert done.returncode == 1
    assert done.stdout.startswith("31 of 32 agree")


@pytest.mark.parametrize("name", ["onnx", "tflite_float32", "tflite_int8"])
def test_a_picture_is_named_as_predict_names_it(shipped, exported, name, tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (50, 80, 4)).astype(np.uint8)
    picture = tmp_path / "noise.png"
    Image.fromarray(noise).save(picture)
    done = run(shipped, script_for(name), "--model", formats()[name].path, picture)
    (answer,) = pictures.predict([picture], shipped / "export", name)
    assert done.stdout == f"{picture}: {answer.label} ({answer.probability:.1%})\n", done.stderr


@pytest.mark.parametrize("script", ["classify_litert.py", "classify_onnx.py"])
def test_no_tensorflow_is_imported(shipped, script):
    place = f"runtimes/python/{script}"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", place, "--check", str(shipped / "golden")],
        cwd=shipped / "export",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()
    }
    assert {"numpy", "picture"} <= imported
    assert not imported & {"tensorflow", "keras", "pipeline", "export"}


def test_a_call_that_names_nothing_is_told_what_to_name(shipped):
    done = run(shipped, "classify_onnx.py")
    assert done.returncode == 2
    assert "name a picture, or --check with the golden folder" in done.stderr


@pytest.mark.parametrize("content", [None, b"", b"no picture", "cut off"])
@pytest.mark.parametrize("script", ["classify_litert.py", "classify_onnx.py"])
def test_a_broken_picture_is_told_in_one_line(shipped, tmp_path, script, content):
    broken, whole = tmp_path / "broken.png", tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 80)).astype(np.uint8)).save(
        whole
    )
    if content is not None:
        broken.write_bytes(whole.read_bytes()[:900] if content == "cut off" else content)
    done = run(shipped, script, whole, broken)
    assert done.returncode == 2
    assert done.stdout.startswith(f"{whole}: ")
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("INFO: "))
    assert line.startswith(f"{broken}: cannot be read (")


@pytest.mark.parametrize("alpha", ["white", "black"])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("size", [(50, 80), (81, 33), (28, 28), (1, 300)])
def test_photos_are_prepared_as_for_training(exported, tmp_path, fit, alpha, size):
    shape = exported.contract.input.shape
    wanted = contract.image_input(shape, "mixed", fit, alpha)
    render.render(replace(exported.contract, input=wanted), tmp_path)
    picture = runpy.run_path(str(tmp_path / "runtimes" / "python" / "picture.py"))
    noise = np.random.default_rng(4).integers(0, 256, (*size, 4)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    decoding = Decoding("grayscale" if shape[2] == 1 else "rgb", shape[:2], fit, alpha)
    expected = read(str(tmp_path), "noise.png", decoding).pixels
    np.testing.assert_array_equal(picture["pixels"](tmp_path / "noise.png")[0], expected)


@pytest.mark.parametrize("fit", ["pad", "stretch", "letterbox", "crop"])
def test_of_colour_it_makes_grey_first_where_the_model_was_trained_on_it(exported, tmp_path, fit):
    shape = (*exported.contract.input.shape[:2], 3)
    background, alpha = ("light", "contrast") if fit == "pad" else ("mixed", "white")
    wanted = contract.image_input(shape, background, fit, alpha)
    wanted = replace(wanted, trained_colour="grey")
    render.render(replace(exported.contract, input=wanted), tmp_path)
    picture = runpy.run_path(str(tmp_path / "runtimes" / "python" / "picture.py"))
    noise = np.random.default_rng(4).integers(0, 256, (50, 81, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    grey, _ = pictures.read_picture(tmp_path / "noise.png", wanted.as_trained)
    given = picture["pixels"](tmp_path / "noise.png")
    np.testing.assert_array_equal(given, with_channels(grey[None], 3))


def test_transparent_parts_are_refused_as_for_training(exported, tmp_path):
    wanted = contract.image_input(exported.contract.input.shape, "mixed", "crop", "refuse")
    render.render(replace(exported.contract, input=wanted), tmp_path)
    picture = runpy.run_path(str(tmp_path / "runtimes" / "python" / "picture.py"))
    for alpha in (255, 254):
        Image.new("RGBA", (40, 40), (9, 9, 9, alpha)).save(tmp_path / f"{alpha}.png")
    assert picture["pixels"](tmp_path / "255.png").max() == 9
    with pytest.raises(ValueError, match="has transparent parts"):
        picture["pixels"](tmp_path / "254.png")


@pytest.mark.parametrize("background", ["dark", "light"])
def test_ink_is_brought_to_the_same_pixels_as_predict_brings_it(
    exported, background, tmp_path, monkeypatch
):
    ink = Preparation(9, "box", (12, 10))
    wanted = replace(exported.contract.input, background=background, preparation=ink)
    render.render(replace(exported.contract, input=wanted), tmp_path)
    paper = np.full((90, 120), 220, np.uint8)
    paper[20:60, 70:78] = paper[52:60, 70:100] = 40
    Image.fromarray(paper).save(tmp_path / "hook.png")
    monkeypatch.syspath_prepend(tmp_path / "runtimes" / "python")
    for name in ("ink", "picture"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    given = importlib.import_module("picture").pixels(tmp_path / "hook.png")
    expected, _ = pictures.read_picture(tmp_path / "hook.png", wanted)
    assert np.array_equal(given[0], expected)
    assert expected.min() < 30 < 220 < expected.max()


@pytest.mark.parametrize("name", ["onnx", "tflite_float32"])
def test_a_check_prepares_the_golden_pictures_of_ink(shipped_of_ink, name, tmp_path):
    model = ("--model", formats()[name].path, "--check")
    done = run_in(shipped_of_ink.export, script_for(name), *model, shipped_of_ink.golden)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "8 of 8 pictures prepared alike"
    copy = shutil.copytree(shipped_of_ink.golden, tmp_path / "golden")
    shutil.copy(copy / "pictures" / "1.png", copy / "pictures" / "0.png")
    done = run_in(shipped_of_ink.export, script_for(name), *model, copy)
    assert done.stdout.splitlines()[1] == "7 of 8 pictures prepared alike"
    assert done.returncode == 1
