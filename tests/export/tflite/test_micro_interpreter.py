from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from export.deployment import microcontroller
from export.formats.format import formats
from export.tflite import int_exporter, micro_interpreter
from export.verification import microcontroller as micro_checking
from pipeline.core import environment
from pipeline.core.errors import AbsentRuntimeError, ExportError

SECONDS = 60
pytestmark = pytest.mark.tflite_micro


def litert_answers(path, images):
    """What LiteRT's reference kernels give, as stored."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for image in images[:, None]:
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(given["index"]))
    return np.concatenate(answers)


@pytest.fixture(scope="module")
def answered(exported, tmp_path_factory):
    images = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(images, exported.images)
    return micro_interpreter.answers(exported.path("tflite_int8"), images, SECONDS)


def test_it_answers_as_litert_does(exported, answered):
    expected = litert_answers(exported.path("tflite_int8"), exported.images)
    assert len(np.unique(expected.argmax(axis=1))) > 1
    # LiteRT rounds a product once, TensorFlow Lite Micro twice: rarely that is another step.
    steps = np.abs(answered.stored.astype(int) - expected)
    assert (steps.max(), (steps > 0).mean()) <= (1, 0.01)
    np.testing.assert_array_equal(answered.stored.argmax(axis=1), expected.argmax(axis=1))
    assert answered.stored.dtype == np.uint8


def test_litert_can_be_asked_with_the_same_kernels(exported, tmp_path):
    np.save(tmp_path / "images.npy", exported.images)
    path = exported.path("tflite_int8")
    given = micro_interpreter.reference_answers(path, tmp_path / "images.npy", SECONDS)
    np.testing.assert_array_equal(given, litert_answers(path, exported.images))


def test_a_file_that_litert_refuses_is_told(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((1, 12, 10, 1), np.uint8))
    (tmp_path / "junk.tflite").write_bytes(b"no model at all")
    with pytest.raises(ExportError, match=r"junk\.tflite in LiteRT: "):
        micro_interpreter.reference_answers(
            tmp_path / "junk.tflite", tmp_path / "images.npy", SECONDS
        )


def test_it_names_its_runtime_and_its_time(answered):
    assert answered.runtime.startswith("TensorFlow Lite Micro 0.")
    assert 0 < answered.latency_p50_ms < 1000


def test_the_arena_is_the_smallest_that_is_enough(exported, answered):
    model = exported.path("tflite_int8").read_bytes()
    assert answered.arena_bytes % 16 == 0
    assert answered.arena_bytes > exported.images[0].size
    micro_interpreter._interpreter(model, answered.arena_bytes)
    with pytest.raises(ExportError, match="failed to allocate"):
        micro_interpreter._interpreter(model, answered.arena_bytes - 16)


def test_the_arena_alone_can_be_asked_for(exported, answered):
    arena = micro_interpreter.smallest_arena(exported.path("tflite_int8"), SECONDS)
    assert arena == answered.arena_bytes


@pytest.mark.parametrize("io", ["int8", "float32"])
def test_other_ends_than_uint8_are_fed_as_they_want(exported, answered, tmp_path, io):
    options = int_exporter.Int8Options(io=io)
    request = replace(
        exported.request("tflite_int8", tmp_path),
        materials=replace(exported.materials, workspace=tmp_path),
        options=options.model_dump(),
        promised=formats()["tflite_int8"].interface((12, 10, 1), 4, options),
    )
    int_exporter.write(request)
    np.save(tmp_path / "images.npy", exported.images[:8])
    given = micro_interpreter.answers(request.path, tmp_path / "images.npy", SECONDS)
    assert given.stored.dtype == io
    probabilities = options.output_type.decode(given.stored)
    expected = int_exporter.OUTPUT_TYPES["uint8"].decode(answered.stored[:8])
    np.testing.assert_allclose(probabilities, expected, atol=1 / 256)


def test_a_refusal_says_what_the_interpreter_said(exported):
    with pytest.raises(ExportError) as caught:
        micro_interpreter.smallest_arena(exported.path("tflite_dynamic"), SECONDS)
    assert "tflite_dynamic.tflite in TensorFlow Lite Micro: " in str(caught.value)
    assert "FLOAT32 with filter type: INT8 not supported" in str(caught.value)


@pytest.mark.parametrize(
    "trouble", ["ModuleNotFoundError('No module named x')", "ImportError('libx.so: not found')"]
)
def test_where_the_library_is_not_nothing_is_said_of_the_file(
    exported, tmp_path, monkeypatch, trouble
):
    monkeypatch.setattr(environment, "version", lambda name: None)
    (tmp_path / "tflite_micro.py").write_text(f"raise {trouble}", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path, images = exported.path("tflite_int8"), tmp_path / "images.npy"
    np.save(images, exported.images[:4])
    micro = micro_checking.compare("tflite_int8", path, images, np.zeros((4, 3)), SECONDS)
    assert micro.refusal == ""
    assert micro.absence.startswith("TensorFlow Lite Micro is not on this machine (")
    assert trouble.partition("'")[2].rstrip("')") in micro.absence
    with pytest.raises(AbsentRuntimeError, match=r"where requirements\.txt installs it"):
        microcontroller.write(path, exported.contract, tmp_path / "example", SECONDS)
    assert not (tmp_path / "example").exists()


def test_a_library_that_is_there_and_broken_is_no_absent_one(exported, tmp_path, monkeypatch):
    (tmp_path / "tflite_micro.py").write_text("raise ImportError('of ours')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ExportError, match="ImportError: of ours") as caught:
        micro_interpreter.smallest_arena(exported.path("tflite_int8"), SECONDS)
    assert not isinstance(caught.value, AbsentRuntimeError)
