"""TFLite files that are not what they are called: converted, quantised or edited for real."""

import struct
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from export.formats import contract
from export.tflite import metadata, pack
from export.tflite.complete import complete
from export.tflite.flatbuffer import parse

FLEX = {
    "target_spec": tf.lite.TargetSpec(
        supported_ops=[tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    )
}


def edited(name, change):
    """A TFLite file, parsed, changed, and packed again with its labels."""

    def make(exported, path):
        model = parse(exported.path(name).read_bytes())
        change(model)
        packed = pack.pack(model)
        path.write_bytes(metadata.with_labels(packed, exported.contract))

    return make


def converted(function, batch=1, **settings):
    """A TFLite file of another computation, with the shared network's contract."""

    def make(exported, path):
        shape = exported.contract.input.shape
        archive = keras.export.ExportArchive()
        archive.track(exported.model)
        archive.add_endpoint(
            "serving_default",
            lambda image: {"probabilities": function(exported.model, image)},
            input_signature=[tf.TensorSpec((batch, *shape), tf.float32, name="image")],
        )
        folder = path.with_name("source")
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        for name, value in settings.items():
            setattr(converter, name, value)
        made = complete(converter.convert(), contract.to_json(exported.contract))
        path.write_bytes(made)

    return make


def quantised(**settings):
    """tflite_int8 by TensorFlow's converter, which takes and gives uint8 unless told otherwise."""

    def make(exported, path):
        def images():
            for image in exported.images:
                yield [image[None].astype(np.float32)]

        made = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": images,
            "inference_input_type": tf.uint8,
            "inference_output_type": tf.uint8,
            **settings,
        }
        converted(lambda model, image: model(image), **made)(exported, path)

    return make


def ends(model):
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[0].tensors
    return tensors[signature.inputs[0].tensorIndex], tensors[signature.outputs[0].tensorIndex]


def double_output_scale(model):
    ends(model)[1].quantization.scale = np.array([1 / 128], np.float32)


def move_input_zero_point(model):
    ends(model)[0].quantization.zeroPoint = np.array([3], np.int64)


def swap_height_and_width(model):
    ends(model)[0].shape = ends(model)[0].shape[[0, 2, 1, 3]]


def add_unused_weights(model):
    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.ones(4096, np.uint8)
    tensor.name, tensor.shape, tensor.type = "ballast", [1024], schema.TensorType.FLOAT32
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors.append(tensor)


def compute_softmax_in_float(model):
    """Puts DEQUANTIZE before and QUANTIZE behind the softmax of an int8 file."""
    (graph,) = model.subgraphs
    codes = [code.builtinCode for code in model.operatorCodes]
    softmax = next(o for o in graph.operators if codes[o.opcodeIndex] == 25)
    around = []
    for name, index in (("logits_float", softmax.inputs[0]), ("softmax_float", softmax.outputs[0])):
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, graph.tensors[index].shape
        tensor.type, tensor.buffer = schema.TensorType.FLOAT32, 0
        graph.tensors.append(tensor)
        around.append((int(index), len(graph.tensors) - 1))
    (logits, logits_float), (given, softmax_float) = around
    at = graph.operators.index(softmax)
    softmax.inputs, softmax.outputs = [logits_float], [softmax_float]
    graph.operators.insert(at, step(model, "DEQUANTIZE", logits, logits_float))
    graph.operators.insert(at + 2, step(model, "QUANTIZE", softmax_float, given))


def step(model, name, taken, given):
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = 1
    operator.opcodeIndex = len(model.operatorCodes)
    operator.inputs, operator.outputs = [taken], [given]
    model.operatorCodes.append(code)
    return operator


def carrying(name, swap_labels=False, **changes):
    """A TFLite file with a contract that is not the one beside it."""

    def make(exported, path):
        other = replace(exported.contract, **changes)
        if swap_labels:
            other = replace(other, output=contract.output(sorted(other.output.labels)))
        path.write_bytes(complete(without_notes(exported.path(name)), contract.to_json(other)))

    return make


def without_notes(path):
    model = parse(path.read_bytes())
    model.buffers = model.buffers[: 1 + max(t.buffer for t in model.subgraphs[0].tensors)]
    model.metadata = []
    return pack.pack(model)


def with_swapped_labels_at_its_end(exported, path):
    swapped = contract.output(sorted(exported.contract.output.labels))
    model = exported.path("tflite_int8").read_bytes()
    packed = pack.pack(parse(model))
    path.write_bytes(metadata.with_labels(packed, replace(exported.contract, output=swapped)))


def divide_by_127_in_metadata(model):
    """As if a preprocessing step had to do what the first layer does."""
    (entry,) = (e for e in model.metadata if e.name == b"TFLITE_METADATA")
    buffer = model.buffers[entry.buffer]
    one, other = struct.pack("<If", 1, 1.0), struct.pack("<If", 1, 127.5)
    changed = bytes(buffer.data).replace(one, other)
    assert changed != bytes(buffer.data)
    buffer.data = np.frombuffer(changed, np.uint8)


def fix_all_sizes(model):
    """Hides that a file takes any batch: the signature of shapes says so, and it is left out."""
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = None


def any_batch_called_1(exported, path):
    converted(lambda model, image: model(image), batch=None)(exported, path)
    model = parse(path.read_bytes())
    fix_all_sizes(model)
    packed = pack.pack(model)
    path.write_bytes(metadata.with_labels(packed, exported.contract))


def half_a_file(exported, path):
    content = exported.path("tflite_int8").read_bytes()
    path.write_bytes(content[: len(content) // 2])


def scale_twice(model, image):
    return model(image / 255)


def swap_classes(model, image):
    return tf.gather(model(image), [1, 0, 2, 3], axis=1)


def use_cumprod(model, image):
    return model(image + 0 * tf.math.cumprod(image, axis=1))


def code(model, name):
    """The entry of one kind of operator in the list of operators."""
    number = getattr(schema.BuiltinOperator, name)
    (found,) = (
        c for c in model.operatorCodes if number in (c.builtinCode, c.deprecatedBuiltinCode)
    )
    return found


def with_code(name, **changes):
    """Changes fields of an operator's entry."""

    def change(model):
        entry = code(model, name)
        for field, value in changes.items():
            setattr(entry, field, value)

    return change


def as_if_all_were_the_first_version(model):
    """As litert-quantizer leaves it."""
    for entry in model.operatorCodes:
        entry.version = 1


def use_gelu(model, image):
    return model(tf.nn.gelu(image, approximate=False))


def gelu_without_its_placeholder(exported, path):
    """An operator newer than the older field: 127 must stand there."""
    converted(use_gelu)(exported, path)
    model = parse(path.read_bytes())
    with_code("GELU", deprecatedBuiltinCode=0)(model)
    path.write_bytes(metadata.with_labels(pack.pack(model), exported.contract))


def stating(release):
    """Says another least release."""

    def change(model):
        (entry,) = (e for e in model.metadata if e.name == b"min_runtime_version")
        content = release.encode().ljust(16, b"\0")
        model.buffers[entry.buffer].data = np.frombuffer(content, np.uint8)

    return change


def state_no_release(model):
    model.buffers[
        next(e.buffer for e in model.metadata if e.name == b"min_runtime_version")
    ].data = None
    model.metadata = [e for e in model.metadata if e.name != b"min_runtime_version"]


def a_scale_a_channel_from_the_first_release_on(exported, path):
    """What TensorFlow's converter says of its own file, which TFLite 2.9.1 gets wrong."""
    quantised()(exported, path)
    model = parse(path.read_bytes())
    stating("1.14.0")(model)
    path.write_bytes(metadata.with_labels(pack.pack(model), exported.contract))


def constants_beyond_the_end(exported, path):
    """Says that a kernel stands behind the FlatBuffer, where there is nothing."""
    model = parse(exported.path("tflite_int8").read_bytes())
    largest = max((b for b in model.buffers if b.data is not None), key=lambda b: len(b.data))
    largest.offset, largest.size, largest.data = 2**20, len(largest.data), None
    path.write_bytes(metadata.with_labels(pack.pack(model), exported.contract))
