"""TensorFlow's operators that tf2onnx lacks, written in those that ONNX has."""

from collections.abc import Callable, Mapping
from typing import Any

Handler = Callable[[Any, Any, str, list[Any]], None]


def handlers() -> Mapping[str, tuple[Handler, list[Any]]]:
    """By the operator that each writes; as tf2onnx wants it."""
    written = {
        "Erfc": _erfc,
        "Expm1": _expm1,
        "Log1p": _log1p,
        "ResizeBicubic": _resize_bicubic,
        "ResizeBilinear": _resize,
        "ResizeNearestNeighbor": _resize,
        "ScaleAndTranslate": _scale_and_translate,
    }
    return {name: (handler, []) for name, handler in written.items()}


def _erfc(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    erf = graph.make_node("Erf", [node.input[0]])
    _replace(graph, node, "Sub", [_number(graph, node, 1), erf.output[0]])


def _expm1(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    exp = graph.make_node("Exp", [node.input[0]])
    _replace(graph, node, "Sub", [exp.output[0], _number(graph, node, 1)])


def _log1p(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    more = graph.make_node("Add", [node.input[0], _number(graph, node, 1)])
    _replace(graph, node, "Log", [more.output[0]])


def _resize(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    """tf2onnx has one too: it gives scales that lose a pixel, and a mode that ONNX has dropped."""
    import numpy as np

    _, height, width, _ = graph.get_shape(node.input[0])
    size = node.inputs[1].get_tensor_value()
    scales = [1, 1, scale(height, size[0]), scale(width, size[1])]
    constant = graph.make_const(f"{name}/scales", np.array(scales, np.float32))
    where, nearest = "asymmetric", "floor"
    if node.get_attr_int("half_pixel_centers"):
        where, nearest = "half_pixel", "round_prefer_ceil"
    elif node.get_attr_int("align_corners"):
        where, nearest = "align_corners", "round_prefer_ceil"
    turned = graph.make_node("Transpose", [node.input[0]], attr={"perm": [0, 3, 1, 2]})
    resized = graph.make_node(
        "Resize",
        [turned.output[0], "", constant.output[0]],
        attr={
            "mode": "linear" if node.type == "ResizeBilinear" else "nearest",
            "coordinate_transformation_mode": where,
            "nearest_mode": nearest,
        },
    )
    _replace(graph, node, "Transpose", [resized.output[0]], perm=[0, 2, 3, 1])


def scale(length: int, size: int) -> float:
    """The factor, as float32, from which ONNX computes the new size of a side by rounding down.

    ONNX Runtime multiplies in float32, ONNX' own inference of shapes in float64.
    """
    import numpy as np

    factor = np.float32(size / length)
    while length * float(factor) < size:
        factor = np.nextafter(factor, np.float32(np.inf))
    return float(factor)


def _resize_bicubic(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    """TensorFlow rounds where a pixel lies to 1/1024 of a pixel, ONNX' own `Resize` does not."""
    import tensorflow as tf

    size = node.inputs[1].get_tensor_value()
    flags = {
        name: bool(node.get_attr_int(name)) for name in ("align_corners", "half_pixel_centers")
    }

    def resized(rows: Any, side: int) -> Any:
        return tf.raw_ops.ResizeBicubic(images=rows, size=[size[side], 1], **flags)

    _resize_by_matrices(graph, node, resized)


def _scale_and_translate(graph: Any, node: Any, name: str, _: list[Any]) -> None:
    """Resizes by Lanczos' kernels, or with antialiasing."""
    import tensorflow as tf

    size, scale, shift = (given.get_tensor_value() for given in node.inputs[1:])

    def resized(rows: Any, side: int) -> Any:
        return tf.raw_ops.ScaleAndTranslate(
            images=rows,
            size=[size[side], 1],
            scale=[scale[side], 1.0],
            translation=[shift[side], 0.0],
            kernel_type=node.get_attr_str("kernel_type"),
            antialias=bool(node.get_attr_int("antialias")),
        )

    _resize_by_matrices(graph, node, resized)


def _resize_by_matrices(graph: Any, node: Any, resized: Callable[[Any, int], Any]) -> None:
    """Resizes images (batch, height, width, channels) by a matrix product along each side.

    Args:
        graph: that the node is in.
        node: what resizes in TensorFlow.
        resized: gives TensorFlow's answer to (length, length, 1, 1) images of one column each,
            for a side: 0 is the height, 1 the width.
    """
    import numpy as np
    import tensorflow as tf

    _, height, width, _ = graph.get_shape(node.input[0])
    value = node.input[0]
    # to (batch, channels, height, width), and then to (batch, channels, width, height)
    for side, length, turn in ((1, width, [0, 3, 1, 2]), (0, height, [0, 1, 3, 2])):
        rows = np.eye(length, dtype=np.float32)[:, :, None, None]
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            weights = session.run(resized(rows, side))[:, :, 0, 0]
        constant = graph.make_const(f"{node.name}/weights_{side}", weights)
        turned = graph.make_node("Transpose", [value], attr={"perm": turn})
        value = graph.make_node("MatMul", [turned.output[0], constant.output[0]]).output[0]
    _replace(graph, node, "Transpose", [value], perm=[0, 3, 2, 1])


def _number(graph: Any, node: Any, value: float) -> str:
    """The name of a constant of the node's own type."""
    import numpy as np
    from tf2onnx import utils

    dtype = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
    name: str = graph.make_const(utils.make_name("number"), np.array(value, dtype)).output[0]
    return name


def _replace(graph: Any, node: Any, operator: str, inputs: list[str], **attributes: Any) -> None:
    """Puts an operator in a node's place, which gives its output under the same name."""
    outputs, shapes, dtypes = node.output, node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    graph.make_node(
        operator, inputs, attr=attributes, outputs=outputs, shapes=shapes, dtypes=dtypes
    )
