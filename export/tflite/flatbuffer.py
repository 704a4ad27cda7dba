"""Reads TFLite files: FlatBuffers of TensorFlow Lite's schema, with operators and constants."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from ai_edge_litert.schema_py_generated import ModelT, TensorT

# Which inputs of an operator are its kernel and its bias.
KERNEL_AND_BIAS: Mapping[str, tuple[int, int | None]] = {
    "BATCH_MATMUL": (1, None),
    "CONV_2D": (1, 2),
    "CONV_3D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}


def parse(model: bytes) -> "ModelT":
    """Reads a file. All constants come into their buffers, also those that stand behind it.

    Raises:
        ValueError: a constant is said to stand where the file has no bytes.
    """
    from ai_edge_litert.schema_py_generated import ModelT

    parsed = ModelT.InitFromPackedBuf(model, 0)
    for buffer in parsed.buffers:
        if buffer.offset > 1:  # 1 marks data that were to be stored so and are none
            buffer.data = _behind(model, buffer.offset, buffer.size)
        buffer.offset = buffer.size = 0
    for _, step in steps(parsed):
        if step.largeCustomOptionsOffset > 1:
            place = step.largeCustomOptionsOffset, step.largeCustomOptionsSize
            step.customOptions = _behind(model, *place)
        step.largeCustomOptionsOffset = step.largeCustomOptionsSize = 0
    return parsed


def _behind(model: bytes, offset: int, size: int) -> "np.ndarray":
    """Data that a FlatBuffer leaves to the bytes behind it, as it must beyond 2 GiB."""
    import numpy as np

    if offset + size > len(model):
        raise ValueError(
            f"a constant is to stand at bytes {offset:,} to {offset + size:,} of a file that has "
            f"{len(model):,}"
        )
    return np.frombuffer(model, np.uint8, size, offset)


def text(value: Any) -> str:
    """FlatBuffers gives strings as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Operator:
    """A step of the computation.

    Attributes:
        name: of the tensor that it gives, which no other operator gives.
        kind: see `kind`.
        inputs: indices of the tensors that it reads.
        outputs: indices of those that it gives.
        constant: index of the largest constant of real numbers that it reads, if there is one.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constant: int | None


def operators(model: "ModelT") -> tuple[Operator, ...]:
    """Those of the main graph, in the order in which they run."""
    (graph, *_) = model.subgraphs
    return tuple(
        Operator(
            text(graph.tensors[operator.outputs[0]].name),
            kind(model, operator),
            tuple(map(int, operator.inputs)),
            tuple(map(int, operator.outputs)),
            _largest_constant(model, operator.inputs),
        )
        for operator in graph.operators
    )


def steps(model: "ModelT") -> Iterator[tuple[Any, Any]]:
    """Every operator of the schema, behind the graph that it is in."""
    return ((graph, step) for graph in model.subgraphs for step in graph.operators or ())


def indices(*lists: Any) -> list[int]:
    """Those of tensors; an operator has -1 for an optional one, or no list, where there is none."""
    return [int(index) for some in lists if some is not None for index in some if index >= 0]


def used_buffers(model: "ModelT") -> set[int]:
    """Indices of those that a tensor or an entry of the metadata names."""
    tensors = (tensor for graph in model.subgraphs for tensor in graph.tensors)
    return {user.buffer for user in (*tensors, *(model.metadata or ()))}


def unread_outputs(model: "ModelT") -> Iterator[tuple[int, int]]:
    """Real numbers of the main graph that an operator such as SPLIT gives and nothing reads.

    Each with one that the same operator gives and something reads. LiteRT does not keep the former,
    and litert-quantizer passes them over.
    """
    (graph, *_) = model.subgraphs
    read = {*indices(graph.outputs, *(step.inputs for step in graph.operators))}
    for step in graph.operators:
        siblings = [index for index in indices(step.outputs) if index in read]
        for index in indices(step.outputs):
            if siblings and index not in read and dtype_of(graph.tensors[index]) == "float32":
                yield index, siblings[0]


def kind(model: "ModelT", operator: Any) -> str:
    """What an operator is: such as `CONV_2D`, or the name of one that is not TFLite's."""
    return operator_name(model.operatorCodes[operator.opcodeIndex])


def operator_name(code: Any) -> str:
    """The kind that an entry of the list of operators stands for."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return text(code.customCode) if code.customCode else _names(BuiltinOperator)[code_of(code)]


def code_of(code: Any) -> int:
    """Its number: files older than TFLite's 128th operator have it in the other field."""
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def is_custom(model: "ModelT", operator: Any) -> bool:
    """Whether an operator of the schema is not TFLite's own."""
    return bool(model.operatorCodes[operator.opcodeIndex].customCode)


@cache
def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if name.isupper()}


def _largest_constant(model: "ModelT", inputs: Any) -> int | None:
    import numpy as np

    (graph, *_) = model.subgraphs
    constants = {
        index: np.prod(graph.tensors[index].shape)
        for index in indices(inputs)
        if model.buffers[graph.tensors[index].buffer].data is not None
        and (dtype_of(graph.tensors[index]) == "float32" or scales(graph.tensors[index]))
    }
    return max(constants, key=constants.__getitem__, default=None)


def dtype_of(tensor: "TensorT") -> str:
    """Such as `float32`, `int8`, `int4`."""
    from ai_edge_litert.schema_py_generated import TensorType

    return _names(TensorType)[tensor.type].lower()


def tensors_by_name(model: "ModelT") -> "dict[str, TensorT]":
    return {text(tensor.name): tensor for tensor in model.subgraphs[0].tensors}


def stored(model: "ModelT", tensor: "TensorT") -> "np.ndarray":
    """A constant's numbers as the file stores them; 4-bit ones as int8, -8..7."""
    import numpy as np

    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    if dtype_of(tensor) == "int4":
        # Two a byte, the first in the low half.
        halves = np.stack([data & 15, data >> 4], axis=1).ravel()[: np.prod(tensor.shape)]
        return ((halves.astype(np.int8) ^ 8) - 8).reshape(tensor.shape)
    return data.view(dtype_of(tensor)).reshape(tensor.shape)


def real(model: "ModelT", tensor: "TensorT") -> "np.ndarray":
    """A constant's real numbers, float32."""
    import numpy as np

    factors = np.asarray(scales(tensor), np.float32)
    numbers = stored(model, tensor).astype(np.float32)
    if not len(factors):
        return numbers
    along = [1] * numbers.ndim
    if len(factors) > 1:
        along[tensor.quantization.quantizedDimension] = len(factors)
    zero_points = np.asarray(tensor.quantization.zeroPoint, np.float32)
    return (numbers - zero_points.reshape(along)) * factors.reshape(along)


def block_scales(tensors: "Iterable[TensorT]") -> Iterator[Any]:
    """The `details` of tensors whose scales, one a block of numbers, are another tensor."""
    for tensor in tensors:
        details = tensor.quantization and tensor.quantization.details
        if isinstance(getattr(details, "scales", None), int):
            yield details


def scales(tensor: "TensorT") -> tuple[float, ...]:
    """One scale, or one a channel; none where numbers stand for themselves."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return ()
    return tuple(map(float, quantization.scale))


def attach(model: "ModelT", name: str, content: bytes) -> None:
    """As an entry of the metadata, in place of what is there under that name."""
    import numpy as np
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT

    entry = _entry(model, name)
    if entry is None:
        entry = MetadataT()
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(BufferT())
        model.metadata = [*(model.metadata or ()), entry]
    model.buffers[entry.buffer].data = np.frombuffer(content, np.uint8)


def attached(model: "ModelT", name: str) -> bytes:
    """The content of an entry of the metadata.

    Raises:
        ValueError: there is none of that name.
    """
    if (entry := _entry(model, name)) is None:
        raise ValueError(f"it carries no {name}")
    return bytes(model.buffers[entry.buffer].data)


def _entry(model: "ModelT", name: str) -> Any:
    return next((e for e in model.metadata or () if text(e.name) == name), None)
