from dataclasses import replace

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export.formats import quantization_json
from export.formats.format import answers, exporter, formats
from export.formats.tensors import contradiction
from export.tflite import int_exporter
from export.verification import audit
from pipeline.core.errors import ExportError


@pytest.mark.parametrize("io", ["uint8", "int8", "float32"])
@pytest.mark.parametrize("name", ["tflite_int8", "tflite_int4"])
def test_a_file_takes_and_gives_what_io_says(exported, tmp_path, name, io):
    request = request_with(exported, tmp_path, name, io=io)
    int_exporter.write(request)
    assert contradiction(int_exporter.inspect(request.path).interface, request.promised) == ""
    usual = answers(name, exported.path(name), exported.images)
    ends = int_exporter.inspect(request.path).interface
    predictor = int_exporter.load(request.path, 1)
    stored = predictor.run(ends.input.type.encode(exported.images))
    assert stored.dtype == io
    given = ends.output.type.decode(stored)
    np.testing.assert_allclose(given, usual, atol=1 / 256 + 1e-6)
    step = formats()[name].options(io=io).probability_step
    assert audit.sums(given, step).passed


def request_with(exported, folder, name, **options):
    chosen = formats()[name].options(**options)
    return replace(
        exported.request(name, folder),
        materials=replace(exported.materials, workspace=folder),
        options=chosen.model_dump(),
        promised=formats()[name].interface((12, 10, 1), 4, chosen),
    )


def test_4_bits_make_a_smaller_file_and_no_tensor_is_float(exported):
    size = {name: exported.path(name).stat().st_size for name in ("tflite_int8", "tflite_int4")}
    kernels = exported.model.count_params() - 200
    assert size["tflite_int4"] < size["tflite_int8"] - kernels / 3
    interpreter = Interpreter(str(exported.path("tflite_int4")))
    interpreter.allocate_tensors()
    dtypes = {tensor["dtype"].__name__ for tensor in interpreter.get_tensor_details()}
    assert dtypes <= {"uint8", "int8", "int32"}


def test_what_was_tried_is_noted_for_the_export_stage(exported, tmp_path):
    noted = quantization_json.gather(
        exported.workspace, ("tflite_int8", "tflite_int4", "onnx"), tmp_path
    )
    assert list(noted) == ["tflite_int8", "tflite_int4"]
    assert quantization_json.read(tmp_path) == noted
    noted_of_int8 = noted["tflite_int8"]
    assert noted_of_int8["validation_images"] == 64
    assert noted_of_int8["input_pixels_clipped"] == 0
    assert noted_of_int8["kept"] == {}
    assert noted_of_int8["tries"][0]["size_bytes"] == exported.path("tflite_int8").stat().st_size


def test_the_gate_decides_whether_more_is_tried(exported, tmp_path):
    request = replace(
        request_with(exported, tmp_path, "tflite_int8", max_tries=3), max_accuracy_drop_points=-1.0
    )
    int_exporter.write(request)
    noted = quantization_json.gather(tmp_path, ["tflite_int8"], tmp_path)["tflite_int8"]
    assert len(noted["tries"]) == 3
    assert noted["bound_points"] == -1
    assert not noted["holds"]


def test_without_validation_images_there_is_an_error_in_words(exported, tmp_path):
    request = exported.request("tflite_int8", tmp_path)
    request = replace(request, materials=replace(exported.materials, validation=None))
    with pytest.raises(ExportError, match="tflite_int8 is chosen by validation images"):
        int_exporter.write(request)


def test_an_operator_that_litert_quantizer_does_not_know_is_made_int8_by_tensorflow(
    exported, tmp_path
):
    layers = keras.layers
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((12, 10, 1), name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3),
            layers.LeakyReLU(),
            layers.Flatten(),
            layers.Dense(4),
            layers.Softmax(),
        ]
    )
    model.save(tmp_path / "model.keras")
    materials = replace(
        exported.materials, model=tmp_path / "model.keras", workspace=tmp_path / "workspace"
    )
    materials.workspace.mkdir()
    needed = replace(exported.request("tflite_float32", tmp_path), materials=materials)
    exporter("tflite_float32").write(needed)
    request = replace(
        exported.request("tflite_int8", tmp_path),
        materials=materials,
        needs={"tflite_float32": needed.path},
        max_accuracy_drop_points=100.0,
    )
    int_exporter.write(request)
    noted = quantization_json.gather(materials.workspace, ["tflite_int8"], tmp_path)
    (attempt,) = noted["tflite_int8"]["tries"]
    assert attempt["engine"] == "TensorFlow's converter"
    assert attempt["kept"] == {}
    assert contradiction(int_exporter.inspect(request.path).interface, request.promised) == ""


def test_the_extremes_are_shown_in_one_pixel_of_a_calibration_image(exported):
    images = list(int_exporter.representative(exported.materials.calibration))
    assert len(images) == len(exported.images) + 2
    for (shown,), extreme in zip(images, (0, 255), strict=False):
        changed = shown != exported.images[:1]
        assert changed.sum() == 1
        assert shown[changed] == extreme
