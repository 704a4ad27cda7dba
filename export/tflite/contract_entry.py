"""What a TFLite file carries in its metadata: the contract, as it is or deflated."""

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from export.tflite.flatbuffer import parse, text

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

CONTRACT = "evenkeel.contract"
DEFLATED_CONTRACT = "evenkeel.contract.z"
LEAST_RUNTIME = "min_runtime_version"
LONGEST_CONTRACT = 2**22


def attach(model: "ModelT", name: str, content: bytes) -> None:
    import numpy as np
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT

    buffer, entry = BufferT(), MetadataT()
    buffer.data = np.frombuffer(content, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]


def replace_attached(model: "ModelT", name: str, content: bytes) -> None:
    """Attaches it in place of what is there under that name."""
    import numpy as np

    for entry in model.metadata or ():
        if text(entry.name) == name:
            model.buffers[entry.buffer].data = np.frombuffer(content, np.uint8)
            return
    attach(model, name, content)


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
    return names - {LEAST_RUNTIME} == {DEFLATED_CONTRACT}


def attached(model: "ModelT", name: str) -> bytes:
    """The content of a metadata entry."""
    for entry in model.metadata or ():
        if text(entry.name) == name:
            return bytes(model.buffers[entry.buffer].data)
    raise ValueError(f"it carries no {name}")


def deflate(contract_text: str) -> bytes:
    return zlib.compress(contract_text.encode(), 9)


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
