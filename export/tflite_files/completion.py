"""Completes TFLite files with what a user must know, and reads it from them."""

from pathlib import Path
from typing import TYPE_CHECKING

from export.tflite_files import compacting
from export.tflite_files.graph import parse, text

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

CONTRACT = "evenkeel.contract"


def complete(model: bytes, contract_text: str) -> bytes:
    """Names the tensors at both ends as the signature does, and attaches what a user must know.

    Args:
        model: a TFLite file.
        contract_text: of `contract.json`. It is attached as it is, as standard TFLite metadata,
            and as `labels.txt`.
    """
    from export import contract
    from export.tflite_files import metadata, packing

    parsed, promised = parse(model), contract.from_json(contract_text)
    _name_ends(parsed)
    attach(parsed, CONTRACT, contract_text.encode())
    attach(parsed, metadata.ENTRY, metadata.model_metadata(promised))
    return metadata.with_labels(packing.pack(parsed), promised)


def _name_ends(model: "ModelT") -> None:
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    for end in (*signature.inputs, *signature.outputs):
        tensors[end.tensorIndex].name = end.name


def attach(model: "ModelT", name: str, content: bytes) -> None:
    import numpy as np
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT

    buffer, entry = BufferT(), MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]


def read_contract(path: Path) -> str:
    """The contract that the file carries.

    Raises:
        ValueError: it carries none.
    """
    return carried_contract(parse(path.read_bytes()))


def carried_contract(model: "ModelT") -> str:
    """As `read_contract`."""
    if is_compact(model):
        return compacting.inflate(attached(model, compacting.DEFLATED_CONTRACT))
    return attached(model, CONTRACT).decode()


def is_compact(model: "ModelT") -> bool:
    """Whether the contract is all that is attached, and deflated."""
    return [text(entry.name) for entry in model.metadata or ()] == [compacting.DEFLATED_CONTRACT]


def attached(model: "ModelT", name: str) -> bytes:
    """The content of a metadata entry."""
    for entry in model.metadata or ():
        if text(entry.name) == name:
            return bytes(model.buffers[entry.buffer].data)
    raise ValueError(f"it carries no {name}")
