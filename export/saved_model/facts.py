"""Reads what a SavedModel holds from its protobuf, without building the graph."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export.formats.facts import Facts, Operator, Weight, is_of_training
from export.formats.tensors import Interface, Tensor, TensorType
from export.keras_files.saved_model_writer import SIGNATURE

# They run Python of the process that wrote the model, which no server has.
PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
# They bring values along, and compute nothing.
CARRIERS = ("Const", "Identity", "NoOp", "ReadVariableOp", "Placeholder", "VarHandleOp")


def read(folder: Path) -> Facts:
    """Reads the folder that holds `saved_model.pb`."""
    content = (folder / "saved_model.pb").read_bytes()
    (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    signature = meta.signature_def[SIGNATURE]
    interface = Interface(_only(signature.inputs), _only(signature.outputs))
    nodes = {node.name: node for node in meta.graph_def.node}
    ((_, given),) = signature.outputs.items()
    needed = set(_behind(nodes, given.name.partition(":")[0]))
    variables = [node for node in nodes.values() if node.op == "VarHandleOp"]
    functions = {f.signature.name: f for f in meta.graph_def.library.function}
    served = [nodes[name] for name in needed]
    return Facts(
        interface=interface,
        weights=tuple(_weight(node) for node in variables if node.name in needed),
        operators=tuple(_operators(served, functions)),
        unused=tuple(node.name for node in variables if node.name not in needed),
    )


def _only(tensors: Any) -> Tensor:
    ((name, info),) = tensors.items()
    shape = tuple("N" if d.size < 0 else d.size for d in info.tensor_shape.dim)
    return Tensor(name, shape, TensorType(_dtype(info.dtype)))


def _dtype(data_type: int) -> str:
    return str(tf.dtypes.as_dtype(data_type).name)


def _behind(nodes: Any, name: str) -> Iterator[str]:
    """A node and all those that it is computed from."""
    waiting, seen = [name], {name}
    while waiting:
        yield (name := waiting.pop())
        for taken in nodes[name].input:
            source = taken.lstrip("^").partition(":")[0]
            if source not in seen:
                seen.add(source)
                waiting.append(source)


def _weight(variable: Any) -> Weight:
    shape = [d.size for d in variable.attr["shape"].shape.dim]
    return Weight(
        name=variable.name,
        dtype=_dtype(variable.attr["dtype"].type),
        elements=prod(shape),
        role="kernel" if len(shape) > 1 else "other",
        channels=shape[-1] if shape else 1,
    )


def _operators(nodes: Any, functions: Any) -> Iterator[Operator]:
    """The steps of these nodes, and those of the functions that they call."""
    for node in nodes:
        called = [a.func.name for a in node.attr.values() if a.HasField("func")]
        for name in called:
            yield from _operators(functions[name].node_def, functions)
        if not called and node.op not in CARRIERS:
            yield _operator(node)


def _operator(node: Any) -> Operator:
    return Operator(
        name=node.op,
        kind="custom" if node.op in PYTHON else "builtin",
        takes=tuple(node.input),
        gives=(node.name,),
        dtypes=(_dtype(node.attr["T"].type),) if node.attr["T"].type else (),
        is_of_training=is_of_training(node.op) or _learns(node),
    )


def _learns(node: Any) -> bool:
    """Normalises by the batch that it is given, or changes a variable."""
    changes = node.op.startswith(("Assign", "ResourceApply"))
    return changes or bool(node.attr["is_training"].b)
