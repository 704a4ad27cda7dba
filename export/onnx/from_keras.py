"""Writes a Keras model as an ONNX graph by tf2onnx, which knows no Keras 3 of its own.

tf2onnx takes captured tensors for inputs, leaves compiled functions as calls and unknown operators
under TensorFlow's names. So it gets a graph that is frozen and has no calls, and what it leaves
undone is named.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.formats.tensors import Tensor
from export.onnx import operators
from export.onnx.known_shapes import with_known_shapes
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import keras
    import onnx
    import tensorflow as tf

MOST_BYTES = (1 << 31) - 1  # protobuf writes no more in one message


def convert(model: "keras.Model", opset: int, taken: Tensor) -> "onnx.ModelProto":
    """Converts a model.

    Args:
        model: in float32.
        opset: the version of ONNX' operators.
        taken: how many images the graph takes, `N` is any number, and in which layout.

    Raises:
        ExportError: tf2onnx has no operators for a layer, which is named, fails at it, or makes
            what ONNX' checker refuses.
    """
    import tf2onnx

    if 4 * model.count_params() > MOST_BYTES:
        raise ExportError(
            f"the model has {model.count_params():,} weights, and an ONNX file holds at most "
            "2 GiB; leave onnx and onnx_int8 out of export.formats"
        )
    with _complaints() as complaints:
        graph, ends = _frozen_graph(model, taken)
        result, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=[ends["image"]],
            output_names=[ends["probabilities"]],
            tensors_to_rename={name: end for end, name in ends.items()},
            opset=opset,
            custom_op_handlers=operators.handlers(),
        )
    for value in (*result.graph.input, *result.graph.output):
        if taken.shape[0] == "N":
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    refuse_undone(result, complaints)
    result.graph.doc_string = ""  # TensorFlow's count of functions: other bytes each time
    return result


def _frozen_graph(
    model: "keras.Model", taken: Tensor
) -> tuple["tf.compat.v1.GraphDef", dict[str, str]]:
    """The model as one graph of constants without calls, and the names of its ends."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    def answer(image: "tf.Tensor") -> "tf.Tensor":
        if taken.type.layout == "NCHW":
            image = tf.transpose(image, (0, 2, 3, 1))
        return model(image, training=False)

    batch = None if taken.shape[0] == "N" else taken.shape[0]
    shape = (batch, *taken.type.arranged(model.input_shape[1:]))
    spec = tf.TensorSpec(shape, tf.float32, name="image")
    with _without_inner_functions():
        traced = tf.function(answer).get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(
        traced, lower_control_flow=False, aggressive_inlining=True
    )
    (image,), (probabilities,) = frozen.inputs, frozen.outputs
    graph = with_known_shapes(frozen.graph.as_graph_def(), (image.name, probabilities.name))
    return graph, {"image": image.name, "probabilities": probabilities.name}


@contextmanager
def _without_inner_functions() -> Iterator[None]:
    """Traces what calls compiled functions as if they were none, such as Keras' grouped Conv2D."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


class _Complaints(logging.Handler):
    """What tf2onnx could not convert: it goes on, and says so in its log alone."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error and isinstance(record.args, tuple):
            self.failed.append(f"{record.args[0]}: {' '.join(str(error).split())}")


@contextmanager
def _complaints() -> Iterator[list[str]]:
    handler, logger = _Complaints(), logging.getLogger("tf2onnx")
    logger.addHandler(handler)
    try:
        yield handler.failed
    finally:
        logger.removeHandler(handler)


def refuse_undone(model: "onnx.ModelProto", complaints: list[str]) -> None:
    """Raises ExportError where tf2onnx left something undone, or made what is no ONNX."""
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    unknown = [node for node in nodes(model.graph.node) if node.op_type not in known]
    if complaints:
        why = f"tf2onnx could not convert {complaints[0]}"
    elif unknown:
        why = f"tf2onnx has no ONNX operators for {unknown[0].op_type} ({unknown[0].name})"
    else:
        try:
            onnx.checker.check_model(model, full_check=True)
            return
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            why = f"ONNX' own checker refuses what tf2onnx made: {' '.join(str(error).split())}"
    raise ExportError(
        f"{why}; replace the layer that it is from by one of other operators, or leave onnx and "
        "onnx_int8 out of export.formats"
    )


def nodes(graph: Iterable[Any]) -> Iterator[Any]:
    """Nodes, and those of the graphs that they hold."""
    for node in graph:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g.node)
