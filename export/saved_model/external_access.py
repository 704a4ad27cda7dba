"""What of a SavedModel would touch more than numbers, by its protobuf; TensorFlow is not asked.

An operator of a graph can read and write files, call Python or end the process. Those that only
compute are in a few modules of TensorFlow; a SavedModel's own saving and restoring are the one
place where others may stand, and loading does not call them.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import saved_model_pb2

from pipeline.core.content import kind_of_bytes

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


def reach(folder: Path) -> Iterator[str]:
    """Each ends a sentence on the folder that holds `saved_model.pb`."""
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
    saving = set(_reachable(saver_nodes, functions))
    others = [node for node in meta.graph_def.node if node.name not in saver]
    others += _inside(functions[name] for name in functions.keys() - saving)
    called = {name for node in others for name in _called(node)}
    called |= set(meta.object_graph_def.concrete_functions)
    if saving & called or saver & set(_answering(meta)):
        yield "has operators that load or save files (RestoreV2, SaveV2) among those that answer"
    found = {node.op for node in others} - HARMLESS
    found |= {node.op for node in _inside(functions[n] for n in saving & functions.keys())} - SAVING
    if outside := sorted(op for op in found if not _only_computes(op)):
        yield f"has operators that reach beyond their numbers ({', '.join(outside)})"


def _node(name: str) -> str:
    return name.lstrip("^").partition(":")[0]


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        functions = [value.func] if value.HasField("func") else value.list.func
        yield from (function.name for function in functions)


def _reachable(nodes: Iterable[Any], functions: Any) -> Iterator[str]:
    """The names of the functions that nodes call, and those that these call."""
    waiting, seen = [name for node in nodes for name in _called(node)], set()
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            yield name
            inside = functions[name].node_def if name in functions else ()
            waiting += [called for node in inside for called in _called(node)]


def _inside(functions: Iterable[Any]) -> list[Any]:
    return [node for function in functions for node in function.node_def]


def _answering(meta: Any) -> Iterator[str]:
    """The nodes that signatures name, and all that they are computed from."""
    nodes = {node.name: node for node in meta.graph_def.node}
    waiting = [_node(end.name) for s in meta.signature_def.values() for end in s.outputs.values()]
    seen = set()
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            yield name
            waiting += [_node(taken) for taken in nodes[name].input] if name in nodes else []


def _only_computes(op: str) -> bool:
    wrapper = getattr(tf.raw_ops, op, None)
    module = getattr(getattr(wrapper, "__wrapped__", None), "__module__", None)
    return module in COMPUTING and op not in NOT_COMPUTING
