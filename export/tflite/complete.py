"""What TFLite files carry for their users beside numbers: all of it, or as little as can be."""

import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import contract
from export.tflite import batching, metadata
from export.tflite.flatbuffer import (
    attach,
    attached,
    block_scales,
    indices,
    parse,
    text,
    used_buffers,
)
from export.tflite.pack import pack
from export.tflite.versions import operator_codes

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

CONTRACT = "evenkeel.contract"
DEFLATED_CONTRACT = "evenkeel.contract.z"
LONGEST_CONTRACT = 2**22


def complete(model: bytes, contract_text: str) -> bytes:
    """Names the tensors at both ends as the signature does, and attaches what a user must know.

    Args:
        model: a TFLite file.
        contract_text: of `contract.json`. It is attached as it is, as standard TFLite metadata,
            and as `labels.txt`.
    """
    parsed, promised = parse(model), contract.from_json(contract_text)
    _name_ends(parsed)
    _drop_unread(parsed)
    batching.free(parsed)
    operator_codes.settle(parsed)
    attach(parsed, CONTRACT, contract_text.encode())
    attach(parsed, metadata.ENTRY, metadata.model_metadata(promised))
    return metadata.with_labels(pack(parsed), promised)


def _name_ends(model: "ModelT") -> None:
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    for end in (*signature.inputs, *signature.outputs):
        tensors[end.tensorIndex].name = end.name


def _drop_unread(model: "ModelT") -> None:
    """Leaves out tensors that the converter has left over, such as of loops that it rewrote."""
    for graph in model.subgraphs:
        read = _indices_read(graph)
        places = {index: place for place, index in enumerate(sorted(read))}
        for details in block_scales(graph.tensors):
            details.scales = places[details.scales]
        graph.tensors = [graph.tensors[index] for index in sorted(read)]
        for reader in (graph, *graph.operators):
            reader.inputs = _renumber(reader.inputs, places)
            reader.outputs = _renumber(reader.outputs, places)
        for step in graph.operators:
            step.intermediates = _renumber(step.intermediates, places)
        for signature in model.signatureDefs:
            if model.subgraphs[signature.subgraphIndex] is graph:
                for end in (*signature.inputs, *signature.outputs):
                    end.tensorIndex = places[end.tensorIndex]
    used = used_buffers(model)
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _indices_read(graph: Any) -> set[int]:
    """Tensors at the ends and of operators, and those that hold the scales of others."""
    ends = [x for o in graph.operators for x in (o.inputs, o.outputs, o.intermediates)]
    scales = (details.scales for details in block_scales(graph.tensors))
    return {*indices(graph.inputs, graph.outputs, *ends), *scales}


def _renumber(old: Any, places: Mapping[int, int]) -> Any:
    """Indices in the new order; an optional tensor that is not there has -1."""
    return None if old is None else [places.get(int(index), -1) for index in old]


def compact(model: bytes, contract_text: str, kept: Collection[str] = ()) -> bytes:
    """Makes a completed file smaller, for devices where each kilobyte counts.

    What goes is what no interpreter reads: names of tensors inside, empty buffers, notes that other
    tools made, and the parts of the contract that are said twice.

    Args:
        model: a file that `complete` gave.
        contract_text: of `contract.json`. It is attached deflated, and nothing else is.
        kept: names of tensors inside that must stay.
    """
    parsed = parse(model)
    least = attached(parsed, operator_codes.LEAST_RUNTIME)
    parsed.metadata = parsed.description = None
    _shorten_names(parsed, kept)
    _drop_buffers(parsed)
    attach(parsed, operator_codes.LEAST_RUNTIME, least)
    attach(parsed, DEFLATED_CONTRACT, zlib.compress(contract_text.encode(), 9))
    return pack(parsed, shares_vectors=True)


def _shorten_names(model: "ModelT", kept: Collection[str]) -> None:
    """To numbers, as each tensor must have a name of its own."""
    for graph in model.subgraphs:
        ends = indices(graph.inputs, graph.outputs)
        for index, tensor in enumerate(graph.tensors):
            if index not in ends and text(tensor.name) not in kept:
                tensor.name = str(index)


def _drop_buffers(model: "ModelT") -> None:
    """Leaves those with data of a tensor, behind the first, which is empty by definition."""
    places: dict[int, int] = {}
    stored: list[Any] = [model.buffers[0]]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            index, buffer = int(tensor.buffer), model.buffers[tensor.buffer]
            if index not in places:
                places[index] = 0
                if buffer.data is not None and len(buffer.data):
                    places[index] = len(stored)
                    stored.append(buffer)
            tensor.buffer = places[index]
    model.buffers = stored


def read_contract(path: Path) -> str:
    """The contract that the file carries.

    Raises:
        ValueError: it carries none.
    """
    model = parse(path.read_bytes())
    if is_compact(model):
        return inflate(attached(model, DEFLATED_CONTRACT))
    return attached(model, CONTRACT).decode()


def is_compact(model: "ModelT") -> bool:
    """Whether the contract is all that is attached for users, and deflated."""
    names = {text(entry.name) for entry in model.metadata or ()}
    return names - {operator_codes.LEAST_RUNTIME} == {DEFLATED_CONTRACT}


def inflate(content: bytes) -> str:
    """The text of a deflated contract.

    Raises:
        ValueError: it is none, or far too long for one.
    """
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(content, LONGEST_CONTRACT)
    except zlib.error as error:
        raise ValueError(f"its deflated contract cannot be read ({error})") from error
    if not inflater.eof:
        raise ValueError(f"its deflated contract is cut off or above {LONGEST_CONTRACT:,} bytes")
    return inflated.decode()
