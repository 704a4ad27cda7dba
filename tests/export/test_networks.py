"""Networks of every kind of layer, in the formats that keep Keras' own numbers."""

import keras
import numpy as np
import onnx
import pytest

from export.saved_model import exporter
from pipeline.core.errors import ExportError
from tests.export import networks

# One of each kind of trouble that converters have had with layers; the others take minutes.
QUICK_ONNX = {
    "celu", "gelu", "Conv2D_grouped", "Conv2DTranspose_strided", "GRU", "Normalization_adapted",
    "Resizing_lanczos3", "Resizing_pad",
}  # fmt: skip
QUICK_SAVED_MODEL = {"GroupNormalization", "LayerNormalization"}


def some(quick):
    return [
        pytest.param(name, marks=() if name in quick else pytest.mark.long)
        for name in networks.NETWORKS
    ]


def made(block, folder):
    return networks.Network(networks.network(block), folder)


@pytest.mark.parametrize("name", some(QUICK_ONNX))
def test_a_network_answers_as_onnx_as_in_keras_and_the_audit_finds_nothing(name, tmp_path):
    network = made(networks.NETWORKS[name], tmp_path)
    assert network.write("onnx") == {}
    np.testing.assert_allclose(network.answers("onnx"), network.keras_answers, atol=1e-5)
    assert network.write("onnx_int8") == {}
    difference = np.abs(network.answers("onnx_int8") - network.keras_answers)
    assert difference.mean() < 0.05  # four classes by random weights: 8 bits are near, no more


@pytest.mark.parametrize("name", some(QUICK_SAVED_MODEL))
def test_a_network_answers_as_saved_model_as_in_keras_and_the_audit_finds_nothing(name, tmp_path):
    network = made(networks.NETWORKS[name], tmp_path)
    assert network.write("saved_model") == {}
    given = exporter.predictor(network.path("saved_model")).run(network.images.astype(np.float32))
    np.testing.assert_allclose(given, network.keras_answers, atol=1e-6)


def test_every_activation_of_keras_is_among_the_networks():
    known = {
        name
        for name in dir(keras.activations)
        if not name.startswith("_") and name not in ("deserialize", "get", "serialize")
    }
    assert known - {"hard_swish", "swish"} <= networks.NETWORKS.keys()  # they are names of silus


def test_no_size_is_computed_as_it_runs_that_is_known_beforehand(tmp_path):
    network = made(networks.NETWORKS["Resizing_crop"], tmp_path)
    network.write("onnx")
    operators = {node.op_type for node in onnx.load(network.path("onnx")).graph.node}
    assert operators.isdisjoint({"Shape", "If", "Cast", "Gather"})


@pytest.mark.parametrize(
    ("block", "named"),
    [
        (lambda inside: keras.ops.erfinv(keras.ops.tanh(inside)), "Erfinv (functional"),
        (lambda inside: keras.ops.real(keras.ops.fft((inside, inside))[0]), "FFT"),
    ],
)
def test_what_onnx_has_no_operator_for_is_named_with_its_layer_and_a_way_out(
    block, named, tmp_path
):
    with pytest.raises(ExportError) as error:
        made(block, tmp_path).write("onnx")
    assert named in str(error.value)
    assert "replace the layer" in str(error.value)
    assert "export.formats" in str(error.value)
    assert "\n" not in str(error.value)
