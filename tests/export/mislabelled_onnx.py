"""ONNX files that are not what they are called, and what such a file is made of."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime.quantization as onnx_quantization

from export.formats import contract
from export.onnx.exporter import CONTRACT


def edited(name, change):
    def make(exported, path):
        model = onnx.load(exported.path(name))
        onnx.save(change(model) or model, path)

    return make


def fix_batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def take_channels_first(model):
    """Puts a Transpose in front, as many converters do that keep PyTorch's layout."""
    taken = model.graph.input[0]
    for node in model.graph.node:
        node.input[:] = ["image_nhwc" if name == "image" else name for name in node.input]
    turn = onnx.helper.make_node("Transpose", ["image"], ["image_nhwc"], perm=[0, 2, 3, 1])
    model.graph.node.insert(0, turn)
    sizes = taken.type.tensor_type.shape.dim
    height, width, channels = (sizes[i].dim_value for i in (1, 2, 3))
    for dim, size in zip(sizes[1:], (channels, height, width), strict=True):
        dim.dim_value = size


def carry_no_denotations(model):
    """Takes channels first, as no image of another size would show, and does not say so."""
    take_channels_first(model)
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.denotation = ""


def give_logits(model):
    softmax = model.graph.node.pop()
    assert softmax.op_type == "Softmax"
    for node in model.graph.node:
        node.output[:] = ["probabilities" if n == softmax.input[0] else n for n in node.output]


def leave_dropout_on(model):
    """A Dropout node with its `training_mode` input true, as an export in training mode has it."""
    constants = {"ratio": np.float32(0.5), "is_training": np.bool_(True)}
    for name, value in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
    at, relu = next((i, n) for i, n in enumerate(model.graph.node) if n.op_type == "Relu")
    inputs = [relu.output[0], "ratio", "is_training"]
    for node in model.graph.node:
        node.input[:] = ["dropped" if n == relu.output[0] else n for n in node.input]
    model.graph.node.insert(at + 1, onnx.helper.make_node("Dropout", inputs, ["dropped"]))


def add_onnx_ballast(model):
    ballast = onnx.numpy_helper.from_array(np.ones(1024, np.float32), "ballast")
    model.graph.initializer.append(ballast)


def use_an_operator_of_one_runtime(model):
    """Gelu of ONNX Runtime's own domain in place of a Relu."""
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type, relu.domain = "Gelu", "com.microsoft"
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))


def older_opset(model):
    return onnx.version_converter.convert_version(model, 16)


def other_contract(model):
    text = contract.to_json(
        replace(contract.from_json(model.metadata_props[0].value), data_key="x")
    )
    onnx.helper.set_model_props(model, {CONTRACT: text})


def no_contract(model):
    del model.metadata_props[:]


def quantised_as_it_runs(exported, path):
    onnx_quantization.quantize_dynamic(exported.path("onnx"), path)
    model = onnx.load(path)
    text = contract.to_json(exported.contract)
    onnx.helper.set_model_props(model, {CONTRACT: text})
    onnx.save(model, path)
