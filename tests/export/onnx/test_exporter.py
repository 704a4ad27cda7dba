from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from pydantic import ValidationError

from export.formats.tensors import Tensor
from export.onnx import exporter, quantize
from export.onnx.exporter import Int8Options, OnnxOptions
from export.onnx.from_keras import refuse_undone
from export.onnx.operators import scale
from pipeline.core.errors import ExportError


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


def test_the_reference_implementation_gives_the_answers_of_int8_too(exported):
    images = {"image": exported.images.astype(np.float32)}
    (answers,) = ReferenceEvaluator(str(exported.path("onnx_int8"))).run(None, images)
    session = onnxruntime.InferenceSession(exported.path("onnx_int8"))
    np.testing.assert_allclose(answers, session.run(None, images)[0], atol=1e-2)


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


@pytest.mark.parametrize(
    ("name", "opset"), [("onnx", 13), ("onnx", 18), ("onnx_int8", 17), ("onnx_int8", 21)]
)
def test_the_opset_is_the_one_asked_for(exported, tmp_path, name, opset):
    request = replace(exported.request(name, folder=tmp_path), options={"opset": opset})
    exporter.write(request)
    assert onnx.load(request.path).opset_import[0].version == opset
    session = onnxruntime.InferenceSession(request.path)
    expected = onnxruntime.InferenceSession(exported.path(name))
    images = {"image": exported.images.astype(np.float32)}
    given, wanted = (s.run(None, images)[0] for s in (session, expected))
    np.testing.assert_allclose(given, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "opset"),
    [(OnnxOptions, 12), (OnnxOptions, 19), (Int8Options, 12), (Int8Options, 22)],
)
def test_an_opset_that_the_converter_does_not_know_is_refused(options, opset):
    with pytest.raises(ValidationError):
        options(opset=opset)


def test_an_operator_that_an_older_opset_lacks_is_named_with_the_opset_that_has_it(exported):
    node = onnx.helper.make_node("HardSwish", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "one", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    with pytest.raises(ExportError, match=r"opset 17 cannot .* set export.onnx_int8.opset to 17$"):
        quantize.at_opset(model, 13)


INTEGER, FLOAT = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    ("operator", "added", "complaints", "said"),
    [
        ("Add", FLOAT, [], None),
        ("Add", INTEGER, [], "ONNX' own checker refuses what tf2onnx made: "),
        ("Erfinv", FLOAT, [], "tf2onnx has no ONNX operators for Erfinv (the_layer); "),
        ("Add", FLOAT, ["FFT: is not real"], "tf2onnx could not convert FFT: is not real; "),
    ],
)
def test_a_missing_operator_a_failure_and_a_refused_graph_are_told_apart(
    operator, added, complaints, said
):
    node = onnx.helper.make_node(operator, ["x", "y"], ["z"], "the_layer")
    x, y, z = (
        onnx.helper.make_tensor_value_info(name, dtype, [1])
        for name, dtype in (("x", FLOAT), ("y", added), ("z", FLOAT))
    )
    graph = onnx.helper.make_graph([node], "one", [x, y], [z])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    if said is None:
        refuse_undone(model, complaints)
        return
    with pytest.raises(ExportError) as error:
        refuse_undone(model, complaints)
    assert str(error.value).startswith(said)
    assert "leave onnx and onnx_int8 out of export.formats" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "release"), [("onnx", "ONNX Runtime 1.12.0"), ("onnx_int8", "ONNX Runtime 1.16.0")]
)
def test_a_file_names_the_first_release_that_was_seen_to_run_its_opset(exported, name, release):
    assert exporter.inspect(exported.path(name)).runs_from == release


def test_no_size_is_lost_by_rounding_a_scale_down():
    for length in range(1, 60):
        for size in range(1, 60):
            factor = np.float32(scale(length, size))
            assert np.floor(np.float32(length) * factor) == size
            assert np.floor(length * float(factor)) == size
            assert factor == pytest.approx(size / length, rel=1e-6)


def test_calibration_feeds_every_image_once(exported):
    for batch in ("N", 1):
        taken = Tensor("image", (batch, 12, 10, 1))
        reader = quantize.CalibrationReader(exported.materials.calibration, taken)
        fed = [batch["image"] for batch in iter(reader.get_next, None)]
        assert len(fed) == {"N": 1, 1: len(exported.images)}[batch]
        np.testing.assert_array_equal(np.concatenate(fed), exported.images)


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
