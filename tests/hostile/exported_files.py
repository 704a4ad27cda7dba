"""ONNX and TFLite files, brought from elsewhere, that reach for other files."""

import os

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from export.tflite.pack import pack
from tests.hostile.canary import SECRET_BYTES, HostileFile

PIXELS = SECRET_BYTES // 16


def external(location):
    """The weights of an ONNX file, which say that they lie elsewhere."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[PIXELS, 4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(SECRET_BYTES))):
        weights.external_data.add(key=key, value=value)
    return weights


def onnx_file(place, weights, *nodes, name="model.onnx"):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", PIXELS])
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 4])
    nodes = nodes or [helper.make_node("MatMul", ["image", "w"], ["probabilities"])]
    graph = helper.make_graph(nodes, "g", [image], [given], [weights] if weights else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = place.folder / name
    path.write_bytes(model.SerializeToString())
    return path


def pointing(location, prepare=lambda place: None):
    """`location` gives, for a place, where the weights lie."""

    def make(place):
        prepare(place)
        return onnx_file(place, external(location(place)))

    return make


def linked(place):
    (place.folder / "w.bin").symlink_to(place.canary.secret)


def hard_linked(place):
    os.link(place.canary.secret, place.folder / "w.bin")


def folder_linked(place):
    (place.folder / "sub").symlink_to(place.canary.folder)


def in_a_constant(place):
    constant = helper.make_node("Constant", [], ["w"], value=external("../canary/secret.bin"))
    use = helper.make_node("MatMul", ["image", "w"], ["probabilities"])
    return onnx_file(place, None, constant, use)


def in_a_branch(place):
    constant = helper.make_node("Constant", [], ["b"], value=external("../canary/secret.bin"))
    given = helper.make_tensor_value_info("b", TensorProto.FLOAT, [PIXELS, 4])
    branch = helper.make_graph([constant], "branch", [], [given])
    always = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    chosen = helper.make_node("If", ["c"], ["w"], then_branch=branch, else_branch=branch)
    use = helper.make_node("MatMul", ["image", "w"], ["probabilities"])
    return onnx_file(place, None, always, chosen, use)


def runs_onnx(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": np.ones((1, PIXELS), np.float32)})


def reads_beside(path):
    """Joins the location to the folder, as readers did before they knew better."""
    (weights,) = onnx.load(path, load_external_data=False).graph.initializer
    location = {entry.key: entry.value for entry in weights.external_data}["location"]
    return (path.parent / location).read_bytes()


ELSEWHERE = "keeps the weights 'w' in another file "
ONNX = {
    "weights that climb out": HostileFile(
        pointing(lambda p: "../canary/secret.bin"), ELSEWHERE, reads_beside
    ),
    "weights that climb out on a detour": HostileFile(
        pointing(lambda p: "sub/../../canary/secret.bin", lambda p: (p.folder / "sub").mkdir()),
        ELSEWHERE,
        reads_beside,
    ),
    "weights from the root": HostileFile(
        pointing(lambda p: str(p.canary.secret)), ELSEWHERE, reads_beside
    ),
    "weights behind a link": HostileFile(
        pointing(lambda p: "w.bin", linked), ELSEWHERE, reads_beside
    ),
    "weights behind a hard link": HostileFile(
        pointing(lambda p: "w.bin", hard_linked), ELSEWHERE, runs_onnx
    ),
    "weights in a folder that is a link": HostileFile(
        pointing(lambda p: "sub/secret.bin", folder_linked), ELSEWHERE, reads_beside
    ),
    "a constant in another file": HostileFile(in_a_constant, ELSEWHERE),
    "a constant of a branch in another file": HostileFile(in_a_branch, ELSEWHERE),
}


def tflite(change):
    def make(place):
        content = (place.exported / "tflite_float32.tflite").read_bytes()
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        change(model, place.canary)
        path = place.folder / "model.tflite"
        path.write_bytes(pack(model))
        return path

    return make


def with_group(model, canary):
    model.externalBufferGroups = [schema.ExternalBufferGroupT(name=str(canary.secret))]


def with_custom(name):
    def change(model, canary):
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes[0].customCode = name

    return change


TFLITE = {
    "weights in another file": HostileFile(
        tflite(with_group), "keeps weights in another file .*secret.bin"
    ),
    "an operator of TensorFlow": HostileFile(
        tflite(with_custom("FlexReadFile")), "has the operator FlexReadFile, which is not LiteRT's"
    ),
    "an operator of its own": HostileFile(
        tflite(with_custom("Evil")), "has the operator Evil, which is not LiteRT's"
    ),
}
