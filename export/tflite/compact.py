"""Makes a TFLite file smaller that answers the same, for devices where each kilobyte counts.

What goes is what no interpreter reads: names of tensors inside, empty buffers, notes that other
tools made, and the parts of the contract that are said twice.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from export.tflite.contract_entry import DEFLATED_CONTRACT, LEAST_RUNTIME, attach, attached, deflate
from export.tflite.flatbuffer import parse, text

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT


def compact(model: bytes, contract_text: str, kept: Collection[str] = ()) -> bytes:
    """Rewrites a completed file.

    Args:
        model: a file that `completion.complete` gave.
        contract_text: of `contract.json`. It is attached deflated, and nothing else is.
        kept: names of tensors inside that must stay.
    """
    from export.tflite import pack

    parsed = parse(model)
    least = attached(parsed, LEAST_RUNTIME)
    parsed.metadata = parsed.description = None
    _shorten_names(parsed, kept)
    _drop_buffers(parsed)
    attach(parsed, LEAST_RUNTIME, least)
    attach(parsed, DEFLATED_CONTRACT, deflate(contract_text))
    return pack.pack(parsed, shares_vectors=True)


def _shorten_names(model: "ModelT", kept: Collection[str]) -> None:
    """To numbers, as each tensor must have a name of its own."""
    for graph in model.subgraphs:
        ends = {*map(int, graph.inputs), *map(int, graph.outputs)}
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
