import numpy as np
import pytest
from pydantic import TypeAdapter

from export.convert import write_formats
from export.formats.format import ExportRequest, Materials, answers, formats
from export.keras_files.saved_model_writer import load_float32


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def mixed(request, small_network, exported):
    """The shared network under a mixed policy, with the same weights."""
    model = small_network(request.param)
    model.set_weights(exported.model.get_weights())
    return model


def test_a_mixed_precision_model_comes_back_in_float32(mixed, exported, tmp_path):
    mixed.save(tmp_path / "model.keras")
    loaded = load_float32(tmp_path / "model.keras", is_trusted=False)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    np.testing.assert_array_equal(
        loaded.predict(exported.images, verbose=0),
        exported.model.predict(exported.images, verbose=0),
    )


def test_a_mixed_precision_model_is_exported_as_its_float32_twin(mixed, exported, tmp_path):
    mixed.save(tmp_path / "model.keras")
    for name in ("onnx", "tflite_float32"):
        request = ExportRequest(
            format_name=name,
            materials=Materials(
                tmp_path / "model.keras", tmp_path, exported.materials.contract, tmp_path
            ),
            folder=tmp_path,
            promised=exported.request(name).promised,
            options=formats()[name].options().model_dump(),
        )
        plain = TypeAdapter(ExportRequest).dump_python(request, mode="json")
        assert [done["failure"] for done in write_formats([plain])] == [""]
        twin = answers(name, exported.path(name), exported.images)
        given = answers(name, request.path, exported.images)
        np.testing.assert_array_equal(given, twin)


def test_a_float32_model_is_loaded_as_it_is(exported):
    loaded = load_float32(exported.materials.model, is_trusted=False)
    assert [layer.name for layer in loaded.layers] == [x.name for x in exported.model.layers]
    for found, expected in zip(loaded.get_weights(), exported.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
