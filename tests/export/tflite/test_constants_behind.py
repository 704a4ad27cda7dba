"""Files whose constants stand behind the FlatBuffer, as litert-quantizer has it from 256 KiB on."""

from dataclasses import replace

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import Model

from export.deployment import microcontroller
from export.formats import contract
from export.formats.format import answers, exporter, formats
from export.tflite import inspection, int_exporter, metadata, pack
from export.tflite.complete import compact, read_contract
from export.tflite.flatbuffer import operators, parse, real, tensors_by_name, text
from export.tflite.quantization import quantize, ranges
from export.tflite.quantization.recipe import Recipe
from export.verification import audit
from pipeline.core.errors import ExportError
from tests.export import float_models

LIMIT = 2**18


def behind(content):
    """The same file with every constant behind its FlatBuffer, where the schema allows it too.

    Written by hand: placeholders first, for the places are known only when all else is written.
    """
    model, data = parse(content), {}
    for index, buffer in enumerate(model.buffers):
        if buffer.data is not None and len(buffer.data):
            data[index] = bytes(buffer.data)
            buffer.data, buffer.offset, buffer.size = None, 2, len(data[index])
    length = len(pack.pack(model))
    for index, constant in data.items():
        length = -(-length // 16) * 16
        model.buffers[index].offset = length
        length += len(constant)
    packed = pack.pack(model)
    for index, constant in data.items():
        packed = packed.ljust(model.buffers[index].offset, b"\0") + constant
    return packed


def with_all_behind(exported, name, folder):
    path = folder / formats()[name].path
    content = behind(exported.path(name).read_bytes())
    path.write_bytes(metadata.with_labels(content, exported.contract))
    contract.write(exported.contract, folder)
    return path


def are_behind(content):
    model = Model.GetRootAs(content, 0)
    return [model.Buffers(i).Offset() > 1 for i in range(model.BuffersLength())]


@pytest.mark.parametrize("name", ["tflite_float32", "tflite_int8", "tflite_int4"])
def test_a_given_file_is_read_whichever_way_its_constants_stand(exported, name, tmp_path):
    path = with_all_behind(exported, name, tmp_path)
    assert any(are_behind(path.read_bytes()))
    found = audit.audit_file(name, path, exported.contract, formats()[name].options())
    assert [check.reason for check in found.checks if not check.passed] == []
    assert contract.from_json(read_contract(path)) == exported.contract
    assert list(inspection.external_access(path)) == []
    np.testing.assert_array_equal(
        answers(name, path, exported.images), answers(name, exported.path(name), exported.images)
    )


def test_it_is_written_again_in_one_piece_with_the_same_answers(exported, tmp_path):
    path = with_all_behind(exported, "tflite_int8", tmp_path)
    once = pack.pack(parse(path.read_bytes()))
    assert not any(are_behind(once))
    assert once == pack.pack(parse(exported.path("tflite_int8").read_bytes()))
    small = compact(path.read_bytes(), contract.to_json(exported.contract))
    assert small == compact(
        exported.path("tflite_int8").read_bytes(), contract.to_json(exported.contract)
    )


def test_the_example_for_a_microcontroller_finds_its_operators(exported, tmp_path):
    path = with_all_behind(exported, "tflite_int8", tmp_path)
    assert microcontroller.operators(path) == microcontroller.operators(
        exported.path("tflite_int8")
    )


@pytest.mark.parametrize("missing", [1, 500])
def test_a_constant_beyond_the_end_is_refused_in_words(exported, missing):
    content = behind(exported.path("tflite_int8").read_bytes())[:-missing]
    with pytest.raises(ValueError, match=rf"of a file that has {len(content):,}$"):
        parse(content)


def test_a_file_that_says_so_and_has_no_such_bytes_reaches_nowhere(exported, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(behind(exported.path("tflite_int8").read_bytes())[:-1])
    (found,) = inspection.external_access(path)
    assert found.startswith("is no whole TFLite file (ValueError: a constant is to stand at bytes")


# A dense layer on 8 x 8 pixels: one below the limit, two above it.
@pytest.fixture(scope="module", params=[LIMIT // 64 - 100, LIMIT // 64 + 100, 4 * LIMIT // 64])
def large(request, exported, tmp_path_factory):
    """A network with so many units, and a function that requests a format of it."""
    units, folder = request.param, tmp_path_factory.mktemp("large")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(float_models.SHAPE, name="image"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(4),
            layers.Softmax(),
        ]
    )
    return units, model, written_of(exported, model, folder)


@pytest.mark.parametrize("name", ["tflite_int8", "tflite_int4"])
def test_a_network_with_large_constants_is_quantised_and_passes(large, name):
    units, model, request_of = large
    request = request_of(name)
    int_exporter.write(request)
    promised = contract.read(request.path.parent)
    found = audit.audit_file(name, request.path, promised, formats()[name].options())
    assert [check.reason for check in found.checks if not check.passed] == []
    kernel = {"tflite_int8": 64 * units, "tflite_int4": 32 * units}[name]
    assert request.path.stat().st_size > kernel
    images = float_models.images(20)
    given = answers(name, request.path, images)
    exact = model.predict(images.astype(np.float32), verbose=0)
    assert np.abs(given - exact).max() < {"tflite_int8": 0.03, "tflite_int4": 0.15}[name]


def written_of(exported, model, folder):
    """Gives requests to write a format of another model, with all that it needs."""
    model.save(folder / "model.keras")
    images = float_models.images(30)
    labels = model.predict(images.astype(np.float32), verbose=0).argmax(axis=1)
    np.save(folder / "calibration.npy", images)
    np.savez(folder / "validation.npz", images=images, labels=labels)
    interfaces = {n: f.interface(float_models.SHAPE, 4) for n, f in formats().items()}
    promised = replace(
        exported.contract,
        input=contract.image_input(float_models.SHAPE, "mixed"),
        formats={n: contract.of_format(n, interface) for n, interface in interfaces.items()},
    )
    contract.write(promised, folder)
    materials = replace(
        exported.materials,
        model=folder / "model.keras",
        calibration=folder / "calibration.npy",
        contract=contract.to_json(promised),
        workspace=folder,
        validation=folder / "validation.npz",
    )
    needed = replace(exported.request("tflite_float32", folder), materials=materials)
    exporter("tflite_float32").write(needed)
    return lambda name: replace(
        exported.request(name, folder),
        materials=materials,
        promised=interfaces[name],
        needs={"tflite_float32": needed.path},
        max_accuracy_drop_points=100.0,
    )


def test_litert_quantizer_does_put_constants_behind(tmp_path):
    """So the tests above can fail; and what is read there are the numbers that were written."""
    layers = keras.layers
    _, prepared = float_models.prepared(
        tmp_path, layers.Flatten(), layers.Dense(LIMIT // 64 + 100), layers.Softmax()
    )
    observed = ranges.observe(prepared, float_models.images(4))
    made = quantize.quantize(prepared, observed, Recipe())
    assert any(are_behind(made))
    before, after = parse(prepared), parse(made)
    (layer,) = [o for o in operators(before) if o.kind == "FULLY_CONNECTED"]
    tensor = before.subgraphs[0].tensors[layer.constant]
    found = tensors_by_name(after)[text(tensor.name)]
    half_steps = np.asarray(found.quantization.scale) / 2
    errors = np.abs(real(before, tensor) - real(after, found))
    assert (errors.max(axis=1) <= 1.001 * half_steps).all()


def test_more_than_a_flatbuffer_holds_is_refused_by_name(exported, monkeypatch):
    monkeypatch.setattr(flatbuffers.Builder, "MAX_BUFFER_SIZE", 2**12)
    model = parse(exported.path("tflite_int8").read_bytes())
    with pytest.raises(ExportError, match=r"^a TFLite file holds at most 2 GiB, .* make the model"):
        pack.pack(model)
