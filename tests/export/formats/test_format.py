"""What holds for every format, whoever wrote the exporter."""

import numpy as np
import pytest

from export.formats import contract
from export.formats import format as formats_module
from export.formats.format import exporter, formats, readable_size, size_bytes, with_needed
from export.formats.tensors import contradiction
from pipeline.core.child_process import call
from pipeline.core.plugins import ROOT

NAMES = sorted(formats())
LARGEST_DIFFERENCE = {
    "tflite_float16": 5e-3,
    "tflite_dynamic": 5e-2,
    "tflite_int8": 5e-2,
    "tflite_int4": 0.2,
}


def test_every_format_is_found_by_the_file_of_its_exporter():
    assert {"saved_model", "tflite_dynamic", "tflite_float32", "tflite_int8"} < {*NAMES}
    assert {"onnx", "onnx_int8", "tflite_float16", "tflite_int4"} < {*NAMES}


def test_each_exporter_is_the_module_that_holds_the_format():
    assert exporter("onnx_int8").__name__ == "export.onnx.exporter"
    with pytest.raises(KeyError):
        exporter("coreml")


def test_a_needed_format_comes_first_and_once():
    assert with_needed(["onnx_int8", "saved_model", "onnx"]) == (
        "onnx",
        "onnx_int8",
        "saved_model",
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_takes_and_gives_what_its_format_promises(exported, name):
    found = exporter(name).inspect(exported.path(name)).interface
    assert contradiction(found, exported.request(name).promised) == ""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "saved_model"])
def test_a_format_answers_as_keras_does(exported, name):
    keras_answers = exported.model.predict(exported.images, verbose=0)
    answers = formats_module.answers(name, exported.path(name), exported.images)
    assert answers.shape == keras_answers.shape
    assert answers.dtype == np.float32
    bound = 5e-2 if name == "onnx_int8" else LARGEST_DIFFERENCE.get(name, 1e-5)
    assert np.abs(answers - keras_answers).max() < bound


@pytest.mark.parametrize("name", NAMES)
def test_each_file_carries_the_contract_inside_it(exported, name):
    carried = contract.from_json(exporter(name).read_contract(exported.path(name)))
    assert carried == contract.read(exported.folder) == exported.contract


@pytest.mark.parametrize(
    ("name", "strangers"),
    [
        ("saved_model", {"ai_edge_litert", "onnxruntime"}),
        ("tflite_int8", {"tensorflow", "keras", "onnxruntime"}),
        ("onnx_int8", {"tensorflow", "keras", "ai_edge_litert"}),
    ],
)
def test_a_check_loads_the_runtime_of_its_format_and_no_other(
    exported, name, strangers, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    np.save(tmp_path / "images.npy", exported.images[:3])
    argument = {
        "format_name": name,
        "path": str(exported.path(name)),
        "images": str(tmp_path / "images.npy"),
        "answers": str(tmp_path / "answers.npy"),
        "threads": 1,
        "warmup_runs": 1,
        "timed_runs": 5,
    }
    outcome = call("children:modules_after_measuring", argument, timeout_seconds=120)
    (answer,) = outcome.values
    assert not strangers.intersection(answer["modules"])
    assert 0 < answer["speed"]["latency_p50_ms"] <= answer["speed"]["latency_p95_ms"]
    keras_answers = exported.model.predict(exported.images[:3], verbose=0)
    assert np.abs(np.load(tmp_path / "answers.npy") - keras_answers).max() < 5e-2


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "1" / "b").write_bytes(b"123")
    assert size_bytes(tmp_path) == 8
    assert size_bytes(tmp_path / "a") == 5


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (499, "499 B"), (1_499, "1 kB"), (79_512, "80 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (1_000_000, "1.0 MB"), (12_340_000, "12.3 MB")],
)  # fmt: skip
def test_a_size_is_told_in_powers_of_a_thousand(size, text):
    assert readable_size(size) == text
