"""What a SavedModel holds and would reach, by its protobuf, without building the graph.

An operator of a graph can read and write files, call Python or end the process. Those that only
compute are in a few modules of TensorFlow; a SavedModel's own saving and restoring are the one
place where others may stand, and loading does not call them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from export.formats.inspection import Inspection, Operator, Weight, is_of_training
from export.formats.tensors import Interface, Tensor, TensorType
from export.keras_files.saved_model_writer import SIGNATURE
from pipeline.core.content import kind_of_bytes

# They run Python of the process that wrote the model, which no server has.
PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
# They bring values along, and compute nothing.
CARRIERS = ("Const", "Identity", "NoOp", "ReadVariableOp", "Placeholder", "VarHandleOp")
COMPUTING = frozenset(
    f"tensorflow.python.ops.gen_{name}_ops"
    for name in (
        "array", "bitwise", "control_flow", "functional", "image", "linalg", "list", "manip",
        "math", "nn", "random", "resource_variable", "special_math", "spectral",
        "stateless_random", "uniform_quant",
    )
) | {"tensorflow.python.ops.gen_stateless_random_ops_v2"}  # fmt: skip
# They stand in those modules, and read a file, end the process or call another.
NOT_COMPUTING = frozenset({"Abort", "ImmutableConst", "RemoteCall"})
HARMLESS = frozenset({"Assert"})
SAVING = frozenset(
    {
        "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename",
        "StaticRegexFullMatch", "StringJoin",
    }
)  # fmt: skip
# TensorFlow reads them in the place of saved_model.pb, or besides.
OTHER_GRAPHS = frozenset({"saved_model.pbtxt", "saved_model.cpb"})


def inspect(folder: Path) -> Inspection:
    """Reads the folder that holds `saved_model.pb`."""
    content = (folder / "saved_model.pb").read_bytes()
    (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    signature = meta.signature_def[SIGNATURE]
    interface = Interface(_only(signature.inputs), _only(signature.outputs))
    nodes = {node.name: node for node in meta.graph_def.node}
    ((_, given),) = signature.outputs.items()
    needed = set(_behind(nodes, [given.name]))
    variables = [node for node in nodes.values() if node.op == "VarHandleOp"]
    functions = {f.signature.name: f for f in meta.graph_def.library.function}
    served = [nodes[name] for name in needed]
    return Inspection(
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


def _behind(nodes: Any, tensors: Iterable[str]) -> Iterator[str]:
    """The nodes that give these tensors, and all those that they are computed from."""
    return _reached(
        map(_node, tensors), lambda name: map(_node, nodes[name].input if name in nodes else ())
    )


def _reached(names: Iterable[str], further: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Each name once, and those further on."""
    waiting, seen = list(names), set()
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            yield name
            waiting += further(name)


def _node(name: str) -> str:
    """The node that gives a tensor."""
    return name.lstrip("^").partition(":")[0]


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


def external_access(folder: Path) -> Iterator[str]:
    """What it would reach; each ends a sentence on the folder that holds `saved_model.pb`."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield f"has a link or a device inside ({path.relative_to(folder)})"
        elif path.name in OTHER_GRAPHS:
            yield f"has a second graph ({path.relative_to(folder)})"
    content = (folder / "saved_model.pb").read_bytes()
    try:
        model = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError:
        yield f"has a saved_model.pb that is {kind_of_bytes(content) or 'no SavedModel'}"
        return
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        yield "is not a SavedModel of TensorFlow 2 with a single graph"
        return
    yield from _of_graph(model.meta_graphs[0])


def _of_graph(meta: Any) -> Iterator[str]:
    if meta.asset_file_def:
        yield f"reads the file {meta.asset_file_def[0].filename}"
    functions = {f.signature.name: f for f in meta.graph_def.library.function}
    saver = {_node(meta.saver_def.save_tensor_name), _node(meta.saver_def.restore_op_name)}
    saver_nodes = [node for node in meta.graph_def.node if node.name in saver]
    saving = set(_reached(_called(saver_nodes), lambda name: _called(_inside(functions, {name}))))
    others = [node for node in meta.graph_def.node if node.name not in saver]
    others += _inside(functions, functions.keys() - saving)
    called = set(_called(others))
    called |= set(meta.object_graph_def.concrete_functions)
    nodes = {node.name: node for node in meta.graph_def.node}
    ends = (end.name for s in meta.signature_def.values() for end in s.outputs.values())
    if saving & called or saver & set(_behind(nodes, ends)):
        yield "has operators that load or save files (RestoreV2, SaveV2) among those that answer"
    found = {node.op for node in others} - HARMLESS
    found |= {node.op for node in _inside(functions, saving)} - SAVING
    if outside := sorted(op for op in found if not _only_computes(op)):
        yield f"has operators that reach beyond their numbers ({', '.join(outside)})"


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """The names of the functions that nodes call."""
    for value in (value for node in nodes for value in node.attr.values()):
        functions = [value.func] if value.HasField("func") else value.list.func
        yield from (function.name for function in functions)


def _inside(functions: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """The nodes of those of these functions that there are."""
    return [node for name in names if name in functions for node in functions[name].node_def]


def _only_computes(op: str) -> bool:
    wrapper = getattr(tf.raw_ops, op, None)
    module = getattr(getattr(wrapper, "__wrapped__", None), "__module__", None)
    return module in COMPUTING and op not in NOT_COMPUTING
