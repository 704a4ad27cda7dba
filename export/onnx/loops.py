"""Hands loops what they read from outside."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from export.onnx.from_keras import nodes

if TYPE_CHECKING:
    import onnx


def with_inputs(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Makes each computed value that a loop's body reads from outside an input of the loop.

    ONNX Runtime aborts on a quantised value that only a body reads: it moves DequantizeLinear
    along an edge that leads to no input.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(model)
    types = {value.name: value for value in (*model.graph.value_info, *model.graph.input)}
    outside = {name for node in model.graph.node for name in node.output} | {
        value.name for value in model.graph.input
    }
    for loop in model.graph.node:
        if loop.op_type == "Loop":
            body = next(a.g for a in loop.attribute if a.name == "body")
            for name in sorted(outside.intersection(_read(body)) & types.keys()):
                _hand_in(loop, body, types[name])
    return model


def _read(body: "onnx.GraphProto") -> Iterator[str]:
    yield from (name for node in nodes(body.node) for name in node.input)


def _hand_in(loop: Any, body: "onnx.GraphProto", value: "onnx.ValueInfoProto") -> None:
    """Adds a value that the loop carries along and does not change."""
    import onnx

    inside, after = f"{loop.name}/in/{value.name}", f"{loop.name}/after/{value.name}"
    for node in nodes(body.node):
        node.input[:] = [inside if name == value.name else name for name in node.input]
    states = len(loop.input) - 2  # the most steps and the condition come first
    body.node.append(onnx.helper.make_node("Identity", [inside], [after]))
    loop.input.append(value.name)
    body.input.append(onnx.helper.make_value_info(inside, value.type))
    body.output.insert(1 + states, onnx.helper.make_value_info(after, value.type))
    loop.output.insert(states, f"{after}/unread")
