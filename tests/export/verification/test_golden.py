import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from export.formats import contract
from export.formats.format import answers, formats
from export.verification import golden, golden_replay
from export.verification.golden import Answers
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.dataset_json import Preparation
from pipeline.data.images import ink
from pipeline.data.images.types import LabelledImages

NAMES = ("tflite_float32", "tflite_int8", "onnx")


def test_each_class_gives_its_easiest_and_its_hardest_image():
    # The probability of the right class: 0.9, 0.2, 0.6 for class 0; 0.7, 0.5 for class 1.
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    labels = np.array([0, 0, 1, 0, 1])
    chosen = golden.choose(probabilities, labels, least=4)
    assert [(choice.index, choice.why) for choice in chosen] == [
        (0, "easiest of class 0"),
        (2, "easiest of class 1"),
        (1, "hardest of class 0"),
        (4, "hardest of class 1"),
    ]
    assert golden.choose(probabilities, labels, least=5)[4].why == "among the hardest of all"


def test_a_class_with_one_image_gives_it_once():
    chosen = golden.choose(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]))
    assert [choice.index for choice in chosen] == [0, 1]


@pytest.fixture(scope="module")
def folder(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "golden"
    labels = np.arange(len(exported.images)) % 4
    test = LabelledImages(exported.images, labels)
    given = {n: Answers(answers(n, exported.path(n), exported.images), f"its {n}") for n in NAMES}
    chosen = golden.choose(given["onnx"].probabilities, labels)
    golden.write(folder, test, given, exported.contract, chosen)
    return folder


def record_of(folder):
    return json.loads((folder / "golden.json").read_text())


def test_pictures_are_the_test_images_that_are_named(folder, exported):
    entries = record_of(folder)["images"]
    assert len(entries) == 32
    for entry in entries:
        pixels = np.asarray(Image.open(folder / entry["file"]))
        np.testing.assert_array_equal(pixels, exported.images[entry["test_index"], ..., 0])
        assert entry["label"] == entry["test_index"] % 4


def test_input_bytes_are_what_a_format_takes(folder, exported):
    indices = [entry["test_index"] for entry in record_of(folder)["images"]]
    assert (folder / "inputs/uint8.bin").read_bytes() == exported.images[indices].tobytes()
    floats = np.fromfile(folder / "inputs/float32.bin", "<f4")
    np.testing.assert_array_equal(floats, exported.images[indices].astype("f4").ravel())


def test_expected_bytes_of_int8_are_its_raw_answers(folder, exported):
    from ai_edge_litert.interpreter import Interpreter

    entry = record_of(folder)["formats"]["tflite_int8"]
    expected = np.fromfile(folder / entry["output"]["file"], np.uint8).reshape(32, 4)
    runner = Interpreter(str(exported.path("tflite_int8"))).get_signature_runner()
    for row, image in zip(expected, record_of(folder)["images"], strict=True):
        pixels = exported.images[image["test_index"]][None]
        np.testing.assert_array_equal(runner(image=pixels)["probabilities"][0], row)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_file_agrees_with_itself(folder, exported, name):
    result = golden_replay.replay(folder, name, exported.path(name))
    assert (result.images, result.wrong) == (32, ())
    assert result.largest_difference <= 1e-6
    assert result.tolerance == formats()[name].tolerance
    assert result.recorded_runtime == f"its {name}"
    assert golden_replay.replay(folder, name, exported.folder) == result


def test_a_file_that_answers_otherwise_is_told_apart(folder, exported, tmp_path):
    import keras

    from export.onnx import exporter

    model = keras.saving.load_model(exported.materials.model)
    model.set_weights([1.5 * weights for weights in model.get_weights()])
    model.save(tmp_path / "model.keras")
    materials = replace(exported.materials, model=tmp_path / "model.keras")
    request = replace(exported.request("onnx", folder=tmp_path), materials=materials)
    exporter.write(request)
    result = golden_replay.replay(folder, "onnx", request.path)
    assert len(result.wrong) > 16
    assert result.wrong[0].startswith("images/")
    assert result.largest_difference > result.tolerance


def test_an_answer_that_is_no_number_agrees_with_nothing(folder, exported, monkeypatch):
    answers = np.full((32, 4), np.nan, np.float32)
    monkeypatch.setattr(golden_replay, "_answers", lambda *_: ("broken", answers))
    assert len(golden_replay.replay(folder, "onnx", exported.path("onnx")).wrong) == 32


def test_a_format_that_was_not_recorded_is_named(folder, exported):
    with pytest.raises(ConfigError, match=r"holds nothing for saved_model\. Available: onnx, tfl"):
        golden_replay.replay(folder, "saved_model", exported.path("saved_model"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nothing.onnx", "nothing.onnx: there is no such file; name the onnx with --model"),
        ("tflite_float32.tflite", "tflite_float32.tflite: does not run as onnx ("),
        ("labels.txt", "labels.txt: does not run as onnx ("),
    ],
)
def test_a_file_that_is_not_the_format_is_named(folder, exported, file, message):
    with pytest.raises(ConfigError) as caught:
        golden_replay.replay(folder, "onnx", exported.folder / file)
    assert message in str(caught.value)


def test_files_of_another_model_are_refused_by_key(folder, exported, tmp_path):
    contract.write(replace(exported.contract, model_key="f" * 16), tmp_path)
    with pytest.raises(ConfigError, match="exported from the model ffffffffffffffff, but"):
        golden_replay.replay(folder, "onnx", tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "golden.json").unlink(), "golden.json: there is no such file"),
        (lambda f: (f / "golden.json").write_text("{"), "golden.json: is no JSON"),
        (lambda f: (f / "golden.json").write_text("{}"), "has schema None, expected 1"),
        (lambda f: (f / "golden.json").write_text("[]"), "has schema None, expected 1"),
        (
            lambda f: (f / "inputs/float32.bin").write_bytes(b"1234"),
            "float32.bin: is not as verify",
        ),
        (lambda f: (f / "expected/onnx.bin").unlink(), "onnx.bin: missing, though verify wrote it"),
        (lambda f: (f / "images/31.png").unlink(), "31.png: missing, though verify wrote it"),
    ],
)
def test_a_damaged_folder_is_named(folder, exported, tmp_path, damage, message):
    import shutil

    copy = tmp_path / "golden"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(DataError, match=message):
        golden_replay.replay(copy, "onnx", exported.path("onnx"))


def test_sheets_with_ink_come_with_what_they_are_to_be_prepared_to(exported, tmp_path):
    wanted = replace(
        exported.contract.input, background="dark", preparation=Preparation(9, "box", (12, 10))
    )
    hooks = np.zeros((8, 12, 10, 1), np.uint8)
    hooks[:, 1:10, 2:4] = hooks[:, 8:10, 2:8] = 255
    choices = [golden.Choice(index, "") for index in range(8)]
    promised = replace(exported.contract, input=wanted)
    golden.write(tmp_path / "golden", LabelledImages(hooks, np.arange(8)), {}, promised, choices)
    record, found = record_of(tmp_path / "golden"), set()
    for sheet in record["pictures"]:
        with Image.open(tmp_path / "golden" / sheet["file"]) as drawn:
            prepared, is_dark = ink.prepare(np.asarray(drawn), wanted.ink_layout)
        with Image.open(tmp_path / "golden" / sheet["prepared"]) as expected:
            np.testing.assert_array_equal(prepared, np.asarray(expected))
        assert np.abs(prepared.astype(int) - hooks[0, ..., 0]).mean() < 40
        found.add(is_dark)
    assert found == {True, False}
    assert len(record["pictures"]) == 8
