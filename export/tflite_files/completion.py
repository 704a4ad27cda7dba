"""Completes TFLite files with what a user must know."""

from typing import TYPE_CHECKING

from export.tflite_files.carrying import CONTRACT, attach
from export.tflite_files.graph import parse

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT


def complete(model: bytes, contract_text: str) -> bytes:
    """Names the tensors at both ends as the signature does, and attaches what a user must know.

    Args:
        model: a TFLite file.
        contract_text: of `contract.json`. It is attached as it is, as standard TFLite metadata,
            and as `labels.txt`.
    """
    from export import contract
    from export.tflite_files import batching, metadata, operator_codes, packing

    parsed, promised = parse(model), contract.from_json(contract_text)
    _name_ends(parsed)
    batching.free(parsed)
    operator_codes.settle(parsed)
    attach(parsed, CONTRACT, contract_text.encode())
    attach(parsed, metadata.ENTRY, metadata.model_metadata(promised))
    return metadata.with_labels(packing.pack(parsed), promised)


def _name_ends(model: "ModelT") -> None:
    (signature,) = model.signatureDefs
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    for end in (*signature.inputs, *signature.outputs):
        tensors[end.tensorIndex].name = end.name
