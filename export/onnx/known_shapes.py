"""Turns what a TensorFlow graph computes of sizes, and knows beforehand, into constants.

A graph for any batch reads each size at run time, though only the batch is free.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

COMPUTING_SIZES = ("Shape", "StridedSlice", "Pack", "ConcatV2")
BRANCHING = ("If", "StatelessIf")
MOST_ROUNDS = 5  # a branch that is taken may hold sizes and branches of its own


def with_known_shapes(
    graph: "tf.compat.v1.GraphDef", ends: tuple[str, str]
) -> "tf.compat.v1.GraphDef":
    """Folds sizes, and takes the branches that they decide.

    Args:
        graph: of constants, without variables; it is changed.
        ends: names of the tensors that it takes and gives.
    """
    import tensorflow as tf
    from tf2onnx import tf_loader

    for _ in range(MOST_ROUNDS):
        _fold_sizes(graph)
        with tf.Graph().as_default():
            tf.import_graph_def(graph, name="")
            graph = tf_loader.tf_optimize(list(ends[:1]), list(ends[1:]), graph)
        if not _take_decided_branches(graph):
            break
    return graph


def _fold_sizes(graph: "tf.compat.v1.GraphDef") -> None:
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
    for operation in imported.get_operations():
        node = nodes[operation.name]
        if operation.type == "Reshape":
            _fix_reshape(graph, node, operation)
        elif operation.type in COMPUTING_SIZES:
            value = _known_value(operation)
            if value is not None:
                node.CopyFrom(_constant(node.name, value))


def _known_value(operation: Any) -> "np.ndarray | None":
    """The sizes that an operation computes, if all of them are known."""
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.framework.tensor_util import constant_value_as_shape

    (given,) = operation.outputs
    if given.dtype not in (tf.int32, tf.int64) or given.shape.rank not in (0, 1):
        return None
    if given.shape.rank == 1:
        sizes = constant_value_as_shape(given)
        known = sizes.as_list() if sizes.is_fully_defined() else None
    else:
        known = _one_size(operation)
    return None if known is None else np.array(known, given.dtype.as_numpy_dtype)


def _one_size(operation: Any) -> int | None:
    import tensorflow as tf
    from tensorflow.python.framework.tensor_util import constant_value_as_shape

    place = tf.get_static_value(operation.inputs[1]) if len(operation.inputs) > 1 else None
    if operation.type != "StridedSlice" or place is None or operation.inputs[0].shape.rank != 1:
        return None
    sizes = constant_value_as_shape(operation.inputs[0])
    return None if sizes.rank is None else sizes.as_list()[int(place[0])]


def _fix_reshape(graph: Any, node: Any, operation: Any) -> None:
    """Gives a reshape that leaves one size free a constant shape."""
    import numpy as np

    shape = operation.outputs[0].shape
    if operation.inputs[1].op.type == "Const" or shape.rank is None:
        return
    sizes = [-1 if size is None else size for size in shape.as_list()]
    if sizes.count(-1) <= 1:
        dtype = operation.inputs[1].dtype.as_numpy_dtype
        constant = _constant(f"{node.name}/known_shape", np.array(sizes, dtype))
        graph.node.append(constant)
        node.input[1] = constant.name


def _constant(name: str, value: "np.ndarray") -> Any:
    import tensorflow as tf

    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node


def _take_decided_branches(graph: "tf.compat.v1.GraphDef") -> bool:
    """Makes each `If` whose condition is constant a call of its branch, which is inlined later."""
    import tensorflow as tf

    constants = {node.name: node for node in graph.node if node.op == "Const"}
    decided = [node for node in graph.node if node.op in BRANCHING and node.input[0] in constants]
    for node in decided:
        condition = tf.make_ndarray(constants[node.input[0]].attr["value"].tensor)
        taken = node.attr["then_branch" if condition else "else_branch"].func.name
        call = tf.compat.v1.NodeDef(name=node.name, op="PartitionedCall", input=node.input[1:])
        for attribute in ("Tin", "Tout"):
            call.attr[attribute].CopyFrom(node.attr[attribute])
        call.attr["f"].func.name = taken
        node.CopyFrom(call)
    return bool(decided)
