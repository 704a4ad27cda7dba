"""Turns a parsed TFLite model into bytes again."""

from typing import Any

import flatbuffers
from ai_edge_litert.schema_py_generated import ModelT
from flatbuffers.builder import BuilderSizeError

from pipeline.core.errors import ExportError

IDENTIFIER = b"TFL3"
ALIGNMENT = 16


def pack(model: ModelT, *, shares_vectors: bool = False) -> bytes:
    """Writes the file in one piece; equal vectors in it can be stored once.

    Raises:
        ExportError: it would be larger than a FlatBuffer can be.
    """
    builder = _SharingBuilder(1024) if shares_vectors else _AligningBuilder(1024)
    try:
        builder.Finish(model.Pack(builder), IDENTIFIER)
    except BuilderSizeError as error:
        held = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
        raise ExportError(
            f"a TFLite file holds at most 2 GiB, the model has constants of {held / 2**30:.1f} "
            "GiB; make the model smaller, or leave the format out of export.formats"
        ) from error
    return bytes(builder.Output())


class _AligningBuilder(flatbuffers.Builder):
    """Starts vectors of bytes, as weights are stored, at multiples of 16 bytes.

    The schema asks for it (`force_align: 16`), XNNPACK and TensorFlow Lite Micro read weights in
    place and rely on it, and the generated code forgets it:
    https://github.com/google/flatbuffers/issues/5839
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)


class _SharingBuilder(_AligningBuilder):
    """Stores a vector of numbers that is equal to an earlier one as a reference to that.

    Quantised models repeat themselves: a zero point a channel in each layer, shapes, scales.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[int, bytes], int] = {}

    def CreateNumpyVector(self, x: Any) -> Any:  # noqa: N802
        content = (x.itemsize, x.astype(x.dtype.newbyteorder("<"), copy=False).tobytes())
        if content not in self._written:
            self._written[content] = super().CreateNumpyVector(x)
        return self._written[content]
