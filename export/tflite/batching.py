"""Lets a file that takes one image be resized to take many at once.

Its shapes stay those of one image: what changes is that no RESHAPE insists on 1 any more.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from export.tflite.flatbuffer import dtype_of, kind, stored

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

ANY = -1
# They treat what the first axis counts apart, whatever their options and constants are.
APART = {
    *("ABS", "ADD", "AVERAGE_POOL_2D", "CAST", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV"),
    *("ELU", "EXP", "FULLY_CONNECTED", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC"),
    *("L2_NORMALIZATION", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MUL", "NEG", "POW", "PRELU"),
    *("QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR"),
    *("RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SOFTMAX", "SQRT", "SQUARE", "SQUARED_DIFFERENCE"),
    *("SUB", "TANH"),
}
# They do where their constant, the second input, leaves the first axis alone.
REDUCING = {"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"}
PADDING = {"PAD", "PADV2", "MIRROR_PAD"}


def free(model: "ModelT") -> None:
    """Writes -1 for the first size in each RESHAPE, if every operator treats images apart.

    The first axis is then the images', or the images' times another's: it grows with their number.
    """
    if len(model.subgraphs) > 1:
        return
    (graph,) = model.subgraphs
    steps = list(_of_images(graph))
    if not all(_treats_images_apart(model, graph, step) for step in steps):
        return
    reshapes = [step for step in steps if kind(model, step) == "RESHAPE"]
    if set(_shapes(reshapes)).isdisjoint(_other_inputs(graph, reshapes)):
        for step in reshapes:
            _free(model, graph, step)


def _of_images(graph: Any) -> Iterator[Any]:
    """The operators that do not compute with constants alone."""
    computed = set(map(int, graph.inputs))
    for step in graph.operators:
        if not computed.isdisjoint(map(int, step.inputs)):
            computed.update(map(int, step.outputs))
            yield step


def _shapes(reshapes: list[Any]) -> Iterator[int]:
    yield from (int(step.inputs[1]) for step in reshapes if len(step.inputs) > 1)


def _other_inputs(graph: Any, reshapes: list[Any]) -> Iterator[int]:
    for step in graph.operators:
        yield from map(int, step.inputs[:1] if step in reshapes else step.inputs)


def _free(model: "ModelT", graph: Any, step: Any) -> None:
    import numpy as np

    _, *others = graph.tensors[step.outputs[0]].shape
    freed = np.array([ANY, *others], np.int32)
    if step.builtinOptions is not None and step.builtinOptions.newShape is not None:
        step.builtinOptions.newShape = freed
    if len(step.inputs) > 1:
        shape = graph.tensors[step.inputs[1]]
        if sum(tensor.buffer == shape.buffer for tensor in graph.tensors) > 1:
            model.buffers.append(type(model.buffers[0])())
            shape.buffer = len(model.buffers) - 1
        model.buffers[shape.buffer].data = freed.view(np.uint8)


def _treats_images_apart(model: "ModelT", graph: Any, step: Any) -> bool:
    name, rank = kind(model, step), _rank(graph.tensors[step.inputs[0]])
    if _rank(graph.tensors[step.outputs[0]]) < 2:
        return False  # the first axis is the last, too, along which many operators work
    if name in APART:
        return True
    if name == "CONCATENATION":
        return step.builtinOptions.axis % rank != 0
    if name == "BATCH_MATMUL":
        return rank > 2
    numbers = _second_input(model, graph, step)
    if name in REDUCING:
        return bool(numbers) and all(axis % rank for axis in numbers)
    if name in PADDING:
        return numbers[:2] == [0, 0]
    return name == "TRANSPOSE" and numbers[:1] == [0]


def _rank(tensor: Any) -> int:
    return 0 if tensor.shape is None else len(tensor.shape)


def _second_input(model: "ModelT", graph: Any, step: Any) -> list[int]:
    """Its numbers; none if there is no such constant of 32 bits."""
    if len(step.inputs) < 2:
        return []
    tensor = graph.tensors[step.inputs[1]]
    if dtype_of(tensor) != "int32" or model.buffers[tensor.buffer].data is None:
        return []
    return [int(number) for number in stored(model, tensor).ravel()]
