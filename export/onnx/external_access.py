"""What of an ONNX file would reach beyond it, by its protobuf; no runtime is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from pipeline.core.content import kind_of_bytes


def reach(path: Path) -> Iterator[str]:
    """Each ends a sentence on the file."""
    content = path.read_bytes()
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        yield f"is {kind_of_bytes(content) or 'no ONNX file'}"
        return
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
            yield f"keeps the weights {tensor.name!r} in another file ({where!r})"
            return


def _tensors(message: Message) -> Iterator[Any]:
    """All tensors, wherever in the file they stand."""
    waiting = [message]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.message_type is None or field.message_type.GetOptions().map_entry:
                continue
            inside = list(value) if field.is_repeated else [value]
            if field.message_type.full_name == "onnx.TensorProto":
                yield from inside
            waiting += inside
