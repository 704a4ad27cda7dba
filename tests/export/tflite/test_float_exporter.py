from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export.formats.format import formats
from export.tflite.float_exporter import MOST_JUDGED, validation_images

NAMES = [name for name in formats() if name.startswith("tflite")]


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_usable_by_name(exported, name):
    runner = Interpreter(str(exported.path(name))).get_signature_runner()
    (details,) = runner.get_input_details().values()
    answer = runner(image=exported.images[:1].astype(details["dtype"]))
    assert list(answer) == ["probabilities"]


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_named_as_the_signature_names_them(exported, name):
    interpreter = Interpreter(str(exported.path(name)))
    assert interpreter.get_input_details()[0]["name"] == "image"
    assert interpreter.get_output_details()[0]["name"] == "probabilities"


def test_int8_takes_pixels_as_they_are_though_calibration_saw_neither_0_nor_255(exported):
    assert 0 < exported.images.min() < exported.images.max() < 255
    interpreter = Interpreter(str(exported.path("tflite_int8")))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (taken["dtype"], taken["quantization"]) == (np.uint8, (1.0, 0))
    assert (given["dtype"], given["quantization"]) == (np.uint8, (1 / 256, 0))


def test_int8_holds_no_float_operator(exported):
    interpreter = Interpreter(str(exported.path("tflite_int8")))
    interpreter.allocate_tensors()
    assert {tensor["dtype"].__name__ for tensor in interpreter.get_tensor_details()} <= {
        "uint8",
        "int8",
        "int32",
    }


def test_smaller_formats_are_smaller(exported):
    size = {name: exported.path(name).stat().st_size for name in NAMES}
    assert size["tflite_float16"] < 0.8 * size["tflite_float32"]
    assert size["tflite_int8"] < 0.8 * size["tflite_float16"]


@pytest.mark.parametrize(
    ("given", "judged"),
    [(1, 1), (1000, 1000), (1001, 1000), (1999, 1000), (5000, 1000)],
)
def test_dynamic_range_is_judged_by_no_more_images_than_it_says(exported, tmp_path, given, judged):
    numbers = np.arange(given)
    np.savez(tmp_path / "validation.npz", images=numbers, labels=numbers)
    materials = replace(exported.materials, validation=tmp_path / "validation.npz")
    request = replace(exported.request("tflite_dynamic", tmp_path), materials=materials)
    images, labels = validation_images(request, MOST_JUDGED)
    assert len(labels) == len(set(images.tolist())) == judged
    assert (images[0], images[-1]) == (0, given - 1)  # spread over all
    assert len(validation_images(request)[1]) == given
