"""Completes TFLite files with what a user must know."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tflite.contract_entry import CONTRACT, attach
from export.tflite.flatbuffer import block_scales, parse

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT


def complete(model: bytes, contract_text: str) -> bytes:
    """Names the tensors at both ends as the signature does, and attaches what a user must know.

    Args:
        model: a TFLite file.
        contract_text: of `contract.json`. It is attached as it is, as standard TFLite metadata,
            and as `labels.txt`.
    """
    from export.formats import contract
    from export.tflite import batching, metadata, pack
    from export.tflite.versions import operator_codes

    parsed, promised = parse(model), contract.from_json(contract_text)
    _name_ends(parsed)
    _drop_unread(parsed)
    batching.free(parsed)
    operator_codes.settle(parsed)
    attach(parsed, CONTRACT, contract_text.encode())
    attach(parsed, metadata.ENTRY, metadata.model_metadata(promised))
    return metadata.with_labels(pack.pack(parsed), promised)


def _name_ends(model: "ModelT") -> None:
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    for end in (*signature.inputs, *signature.outputs):
        tensors[end.tensorIndex].name = end.name


def _drop_unread(model: "ModelT") -> None:
    """Leaves out tensors that the converter has left over, such as of loops that it rewrote."""
    for graph in model.subgraphs:
        read = _read(graph)
        places = {index: place for place, index in enumerate(sorted(read))}
        for details in block_scales(graph.tensors):
            details.scales = places[details.scales]
        graph.tensors = [graph.tensors[index] for index in sorted(read)]
        graph.inputs, graph.outputs = _moved(graph.inputs, places), _moved(graph.outputs, places)
        for step in graph.operators:
            step.inputs, step.outputs = _moved(step.inputs, places), _moved(step.outputs, places)
            step.intermediates = _moved(step.intermediates, places)
        for signature in model.signatureDefs:
            if model.subgraphs[signature.subgraphIndex] is graph:
                for end in (*signature.inputs, *signature.outputs):
                    end.tensorIndex = places[end.tensorIndex]
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _read(graph: Any) -> set[int]:
    """Tensors at the ends and of operators, and those that hold the scales of others."""
    ends = [graph.inputs, graph.outputs]
    ends += [x for o in graph.operators for x in (o.inputs, o.outputs, o.intermediates)]
    read = {
        int(index) for indices in ends if indices is not None for index in indices if index >= 0
    }
    return read | {details.scales for details in block_scales(graph.tensors)}


def _moved(indices: Any, places: Mapping[int, int]) -> Any:
    """Indices in the new order; an optional tensor that is not there has -1."""
    return None if indices is None else [places.get(int(index), -1) for index in indices]
