"""A compact TFLite file against the full one that it is made from."""

import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import Model

from export.formats import contract
from export.formats.format import ExportRequest, Materials, chosen_options, exporter, formats
from export.tflite import int_exporter, metadata, pack
from export.tflite.complete import LONGEST_CONTRACT, compact, inflate, read_contract
from export.tflite.flatbuffer import parse
from export.tflite.interpreter import Run, load_interpreter
from export.verification import audit
from pipeline.config.loading import load_config
from pipeline.core.plugins import ROOT
from pipeline.training.create_model import create_model

OPTIONS = {
    name: formats()[name].options(metadata="compact") for name in ("tflite_int8", "tflite_int4")
}
each_format = pytest.mark.parametrize("name", OPTIONS)

# What TensorFlow Lite Micro gives for a file and some stored images, in a process of its own.
TFLM = """
import sys, numpy
from tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1])
given = []
for image in numpy.load(sys.argv[2]):
    interpreter.set_input(image[None], 0)
    interpreter.invoke()
    given.append(interpreter.get_output(0))
numpy.save(sys.argv[3], numpy.concatenate(given))
"""


@pytest.fixture
def compacted(exported, tmp_path):
    """Writes a format compactly, beside the contract and labels; gives its path."""

    def write(name):
        for file in (contract.FILE_NAME, contract.LABELS_FILE_NAME):
            (tmp_path / file).write_bytes((exported.folder / file).read_bytes())
        request = exported.request(name, tmp_path)
        int_exporter.write(
            replace(
                request,
                materials=replace(exported.materials, workspace=tmp_path),
                options=OPTIONS[name].model_dump(),
            )
        )
        return request.path

    return write


@each_format
def test_a_compact_file_answers_the_same_to_the_last_bit(exported, compacted, name):
    path, full = compacted(name), exported.path(name)
    for reference in (False, True):
        given = [stored(file, exported.images, reference) for file in (path, full)]
        np.testing.assert_array_equal(*given)
    assert full.stat().st_size - path.stat().st_size > 2000


def stored(path, images, reference):
    made = load_interpreter(path, reference=reference)
    (taken,), (given,) = made.get_input_details(), made.get_output_details()
    answers = []
    for image in images.astype(taken["dtype"]):
        made.set_tensor(taken["index"], image[None])
        made.invoke()
        answers.append(made.get_tensor(given["index"]))
    return np.concatenate(answers)


@pytest.mark.tflite_micro
def test_tensorflow_lite_micro_reads_a_compact_file(exported, compacted, tmp_path):
    path = compacted("tflite_int8")
    np.save(tmp_path / "images.npy", exported.images[:4].astype(np.uint8))
    given = []
    for file in (path, exported.path("tflite_int8")):
        arguments = [file, tmp_path / "images.npy", tmp_path / "given.npy"]
        subprocess.run([sys.executable, "-c", TFLM, *arguments], check=True, capture_output=True)
        given.append(np.load(tmp_path / "given.npy"))
    np.testing.assert_array_equal(*given)


@each_format
def test_the_audit_finds_nothing_wrong_with_a_compact_file(exported, compacted, name):
    path = compacted(name)
    found = audit.audit_file(name, path, exported.contract, OPTIONS[name])
    assert [check.reason for check in found.checks if not check.passed] == []
    assert contract.from_json(read_contract(path)) == exported.contract


def test_the_audit_finds_a_compact_contract_of_another_model(exported, compacted):
    path = compacted("tflite_int8")
    other = replace(exported.contract, model_key="2" * 16)
    full = exported.path("tflite_int8").read_bytes()
    path.write_bytes(compact(full, contract.to_json(other)))
    assert failed_checks(exported, path) == {"contract"}


def test_the_audit_finds_other_labels_at_the_end_of_a_compact_file(exported, compacted):
    path = compacted("tflite_int8")
    swapped = contract.output(sorted(exported.contract.output.labels))
    other = replace(exported.contract, output=swapped)
    path.write_bytes(metadata.with_labels(path.read_bytes(), other))
    assert failed_checks(exported, path) == {"labels"}


def failed_checks(exported, path):
    found = audit.audit_file("tflite_int8", path, exported.contract, OPTIONS["tflite_int8"])
    return {check.name for check in found.checks if not check.passed}


def test_names_of_layers_that_are_kept_stay(exported):
    full = exported.path("tflite_int8").read_bytes()
    inside = parse(full).subgraphs[0].operators[1].outputs[0]
    name = parse(full).subgraphs[0].tensors[inside].name.decode()
    small = parse(compact(full, "{}", (name,))).subgraphs[0].tensors
    assert small[inside].name.decode() == name
    assert len({tensor.name for tensor in small}) == len(small)


def test_equal_vectors_are_stored_once_and_weights_stay_aligned(exported):
    content = exported.path("tflite_int8").read_bytes()
    shared = pack.pack(parse(content), shares_vectors=True)
    assert len(shared) < len(pack.pack(parse(content)))
    model = Model.GetRootAs(shared, 0)
    starts = {
        buffer._tab.Vector(buffer._tab.Offset(4)) % 16
        for buffer in map(model.Buffers, range(model.BuffersLength()))
        if buffer.DataLength()
    }
    assert starts == {0}
    images = exported.images[:2]
    np.testing.assert_array_equal(
        Run(shared).probabilities(images), Run(content).probabilities(images)
    )


@pytest.mark.parametrize(
    "content",
    [
        b"no such thing",
        zlib.compress(b"{}")[:-3],
        zlib.compress(bytes(LONGEST_CONTRACT + 1)),
        zlib.compress(b"\xff\xfe"),
    ],
    ids=["not deflated", "cut off", "a bomb", "no text"],
)
def test_a_deflated_contract_that_is_none_is_refused(content):
    with pytest.raises(ValueError, match=r"deflated contract|can't decode"):
        inflate(content)


def test_the_file_of_configs_tiny_takes_less_than_12_kb(tmp_path):
    config = load_config(ROOT / "configs" / "tiny.yaml", [])
    random = np.random.default_rng(0)
    model = create_model(config, (28, 28, 1), 10)
    # Of an untrained network the converter leaves out biases, all zero, and scales, all one.
    model.set_weights([random.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    model.save(tmp_path / "model.keras")
    images = random.integers(0, 256, (8, 28, 28, 1), np.uint8)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "validation.npz", images=images, labels=np.arange(8))
    promised = contract.Contract(
        contract.image_input((28, 28, 1), "dark"),
        contract.output(tuple("0123456789")),
        {n: contract.of_format(n, f.interface((28, 28, 1), 10)) for n, f in formats().items()},
        "1" * 16,
        "2" * 16,
        dict.fromkeys(("keras", "tensorflow", "onnx", "numpy", "tf2onnx"), "1.2.3"),
    )
    materials = Materials(
        tmp_path / "model.keras",
        tmp_path / "images.npy",
        contract.to_json(promised),
        tmp_path,
        validation=tmp_path / "validation.npz",
    )
    written = {}
    for name in ("tflite_float32", "tflite_int8"):
        interface = formats()[name].interface((28, 28, 1), 10)
        options = chosen_options(config.export, name).model_dump()
        request = ExportRequest(name, materials, tmp_path, interface, options, dict(written))
        exporter(name).write(request)
        written[name] = request.path
    assert written["tflite_int8"].stat().st_size < 12_000
