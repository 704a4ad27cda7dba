"""Reads and completes TFLite files: FlatBuffers of TensorFlow Lite's schema."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

CONTRACT = "evenkeel.contract"
IDENTIFIER = b"TFL3"


def complete(model: bytes, contract: str) -> bytes:
    """Names the tensors at both ends as the signature names them, and attaches the contract."""
    import flatbuffers

    parsed = parse(model)
    _name_ends(parsed)
    _attach(parsed, CONTRACT, contract.encode())
    builder = flatbuffers.Builder(len(model))
    builder.Finish(parsed.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def parse(model: bytes) -> "ModelT":
    from ai_edge_litert.schema_py_generated import ModelT

    return ModelT.InitFromPackedBuf(model, 0)


def _name_ends(model: "ModelT") -> None:
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    for end in (*signature.inputs, *signature.outputs):
        tensors[end.tensorIndex].name = end.name


def _attach(model: "ModelT", name: str, content: bytes) -> None:
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
    return attached(parse(path.read_bytes()), CONTRACT).decode()


def attached(model: "ModelT", name: str) -> bytes:
    """The content of a metadata entry."""
    for entry in model.metadata or ():
        if _text(entry.name) == name:
            return bytes(model.buffers[entry.buffer].data)
    raise ValueError(f"it carries no {name}")


def _text(value: Any) -> str:
    """FlatBuffers gives strings as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
