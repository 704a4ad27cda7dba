from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from pydantic import ValidationError

from export import onnx as exporter
from export.onnx import OnnxOptions


def graph(exported, name):
    return onnx.load(exported.path(name)).graph


@pytest.mark.parametrize("name", ["onnx", "onnx_int8"])
@pytest.mark.parametrize("batch", [0, 1, 7])
def test_any_batch_is_answered(exported, name, batch):
    session = onnxruntime.InferenceSession(exported.path(name))
    images = exported.images[:batch].astype(np.float32)
    (answers,) = session.run(["probabilities"], {"image": images})
    (one_by_one,) = session.run(["probabilities"], {"image": exported.images.astype(np.float32)})
    np.testing.assert_allclose(answers, one_by_one[:batch], atol=1e-6)


def test_the_reference_implementation_gives_keras_answers(exported):
    evaluator = ReferenceEvaluator(str(exported.path("onnx")))
    (answers,) = evaluator.run(None, {"image": exported.images.astype(np.float32)})
    keras_answers = exported.model.predict(exported.images, verbose=0)
    np.testing.assert_allclose(answers, keras_answers, atol=1e-5)


def test_the_graph_holds_what_the_network_holds_and_nothing_else(exported):
    operators = [node.op_type for node in graph(exported, "onnx").node]
    assert sorted(set(operators) - {"Mul", "Add", "Relu"}) == [
        "Conv",
        "MatMul",
        "MaxPool",
        "Reshape",
        "Softmax",
        "Transpose",
    ]
    assert operators.count("Transpose") == 1  # Keras flattens channels last
    assert operators.count("Reshape") == 2  # one turns a grey image to channels first


def test_no_constant_and_no_operator_set_is_left_over(exported):
    model = onnx.load(exported.path("onnx"))
    used = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used
    assert [opset.domain for opset in model.opset_import] == [""]


def test_int8_weights_are_int8_and_each_output_channel_has_its_own_scale(exported):
    tensors = {tensor.name: tensor for tensor in graph(exported, "onnx_int8").initializer}
    weights = [
        node.input
        for node in graph(exported, "onnx_int8").node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in tensors
        and tensors[node.input[0]].data_type == onnx.TensorProto.INT8
    ]
    assert {tuple(tensors[scale].dims) for _, scale, _ in weights} == {(8,), (16,), (4,)}
    values = np.concatenate(
        [onnx.numpy_helper.to_array(tensors[name]).ravel() for name, *_ in weights]
    )
    assert np.abs(values.astype(int)).max() <= 64  # 7 bits


def test_int8_is_smaller(exported):
    sizes = [exported.path(name).stat().st_size for name in ("onnx", "onnx_int8")]
    assert sizes[1] < sizes[0]


def test_the_opset_is_the_one_asked_for(exported, tmp_path):
    from dataclasses import replace

    request = replace(exported.request("onnx", folder=tmp_path), options={"opset": 15})
    exporter.write(request)
    assert onnx.load(request.path).opset_import[0].version == 15


@pytest.mark.parametrize("opset", [12, 19])
def test_an_opset_that_the_converter_does_not_know_is_refused(opset):
    with pytest.raises(ValidationError):
        OnnxOptions(opset=opset)


def test_calibration_feeds_every_image_once(exported):
    reader = exporter.CalibrationReader(exported.materials.calibration)
    fed = np.concatenate([batch["image"] for batch in iter(reader.get_next, None)])
    np.testing.assert_array_equal(fed, exported.images)


def test_a_percentile_narrows_the_ranges_of_activations(exported, tmp_path):
    steps = []
    for percentile in (None, 99.0, 70.0):
        request = exported.request("onnx_int8", tmp_path)
        materials = replace(exported.materials, percentile=percentile)
        exporter.write(replace(request, materials=materials))
        graph = onnx.load(request.path).graph
        steps.append(
            sum(
                float(onnx.numpy_helper.to_array(constant))
                for constant in graph.initializer
                if constant.name.endswith("_scale") and not constant.dims
            )
        )
    assert steps[0] > 1.02 * steps[1] > 1.02**2 * steps[2]
