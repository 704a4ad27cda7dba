"""Turns a parsed TFLite model into bytes again."""

from typing import Any

import flatbuffers
from ai_edge_litert.schema_py_generated import ModelT

IDENTIFIER = b"TFL3"
ALIGNMENT = 16


def pack(model: ModelT) -> bytes:
    builder = _AligningBuilder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class _AligningBuilder(flatbuffers.Builder):
    """Starts vectors of bytes, as weights are stored, at multiples of 16 bytes.

    The schema asks for it (`force_align: 16`), XNNPACK and TensorFlow Lite Micro read weights in
    place and rely on it, and the generated code forgets it:
    https://github.com/google/flatbuffers/issues/5839
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)
