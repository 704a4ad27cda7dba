"""What a TFLite file holds and would reach, by its FlatBuffer; no runtime is asked."""

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any, Literal

from ai_edge_litert import schema_py_generated as schema

from export.formats import contract
from export.formats.contract import LABELS_FILE_NAME
from export.formats.inspection import Inspection, Operator, Weight, is_of_training
from export.formats.tensors import Interface, Tensor, TensorType
from export.tflite import metadata
from export.tflite.complete import CONTRACT, is_compact
from export.tflite.flatbuffer import (
    KERNEL_AND_BIAS,
    attached,
    block_scales,
    dtype_of,
    indices,
    is_custom,
    kind,
    parse,
    steps,
    text,
    used_buffers,
)
from export.tflite.pack import IDENTIFIER
from export.tflite.versions import operator_codes
from pipeline.core.content import kind_of_bytes

# Inputs that say what shape an operator gives; what other integers say is which and how often.
SHAPED_BY = {
    **dict.fromkeys(("BROADCAST_TO", "MIRROR_PAD", "PAD", "PADV2", "RESHAPE", "TILE"), (1,)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (1,)),
    **dict.fromkeys(("FILL", "TRANSPOSE_CONV"), (0,)),
    "RANGE": (0, 1, 2),
    "SLICE": (2,),
}
ASKING = ("RANK", "SHAPE")


def inspect(path: Path) -> Inspection:
    """Reads a file.

    Raises:
        ValueError: it has not one signature, or names its tensors otherwise than that.
    """
    content = path.read_bytes()
    model = parse(content)
    graphs = [_Graph(model, graph, is_inner=i > 0) for i, graph in enumerate(model.subgraphs)]
    return Inspection(
        interface=_interface(model),
        weights=tuple(weight for graph in graphs for weight in graph.weights()),
        operators=tuple(operator for graph in graphs for operator in graph.operators()),
        unsized=tuple(name for graph in graphs for name in graph.unsized()),
        unused=(*(n for graph in graphs for n in graph.unused()), *_unused_buffers(model)),
        labels=_labels(model, content),
        inconsistencies=tuple(_inconsistencies(model)),
        runs_from=operator_codes.runs_from(model),
        miscoded=tuple(operator_codes.wrong(model)),
    )


def external_access(path: Path) -> Iterator[str]:
    """What of the file would reach beyond it; each ends a sentence on it."""
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        yield f"is {kind_of_bytes(content) or 'no TFLite file'}"
        return
    try:
        model = parse(content)
        for group in model.externalBufferGroups or ():
            yield f"keeps weights in another file ({text(group.name)!r})"
        for _, operator in steps(model):
            if is_custom(model, operator):
                yield f"has the operator {kind(model, operator)}, which is not LiteRT's own"
    except Exception as error:  # the reader looks where damaged bytes send it
        yield f"is no whole TFLite file ({type(error).__name__}: {error})"


def _labels(model: Any, content: bytes) -> dict[str, bytes]:
    """Those of a compact file stand in its contract alone."""
    found = metadata.attached_labels(content)
    if found is None and is_compact(model):
        return {}
    return {f"its own {LABELS_FILE_NAME}": found or b""}


def _interface(model: Any) -> Interface:
    (signature,) = model.signatureDefs
    (taken,), (given,) = signature.inputs, signature.outputs
    graph = model.subgraphs[signature.subgraphIndex]
    ends = graph.tensors[taken.tensorIndex], graph.tensors[given.tensorIndex]
    named, signed = [text(end.name) for end in ends], [text(taken.name), text(given.name)]
    if named != signed:
        raise ValueError(f"its tensors are named {named}, its signature names them {signed}")
    return Interface(_tensor(ends[0]), _tensor(ends[1]))


def _tensor(tensor: Any) -> Tensor:
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    sizes = tuple("N" if size < 0 else int(size) for size in shape)
    dtype, quantization = dtype_of(tensor), tensor.quantization
    if quantization is None or quantization.scale is None:
        return Tensor(text(tensor.name), sizes, TensorType(dtype))
    (scale,), (zero_point,) = quantization.scale, quantization.zeroPoint
    return Tensor(text(tensor.name), sizes, TensorType(dtype, float(scale), int(zero_point)))


def _unused_buffers(model: Any) -> Iterator[str]:
    used = used_buffers(model)
    for index, buffer in enumerate(model.buffers):
        if index not in used and _has_data(buffer):
            yield f"buffer {index}"


def _inconsistencies(model: Any) -> Iterator[str]:
    """The metadata is made from the contract, so one gives the other byte for byte."""
    if is_compact(model):
        return
    carried = {text(entry.name) for entry in model.metadata or ()}
    if metadata.ENTRY not in carried:
        yield f"carries no {metadata.ENTRY}"
    elif CONTRACT in carried:
        promised = contract.from_json(attached(model, CONTRACT).decode())
        if attached(model, metadata.ENTRY) != metadata.model_metadata(promised):
            yield f"says something else in {metadata.ENTRY} than in its contract"


class _Graph:
    """One subgraph, with its tensors by index; an inner one is the body of a loop or its end."""

    def __init__(self, model: Any, graph: Any, *, is_inner: bool) -> None:
        self._model, self._is_inner = model, is_inner
        self._tensors = graph.tensors
        self._steps = graph.operators
        self._ends = {*indices(graph.inputs, graph.outputs)}
        self._stored = {
            index: index
            for index, tensor in enumerate(graph.tensors)
            if index not in self._ends and _has_data(model.buffers[tensor.buffer])
        }
        for step in graph.operators:
            if self._name(step) == "DEQUANTIZE" and step.inputs[0] in self._stored:
                self._stored[int(step.outputs[0])] = int(step.inputs[0])

    def _name(self, step: Any) -> str:
        return kind(self._model, step)

    def operators(self) -> Iterator[Operator]:
        shaping = self._shaping()
        for step in self._steps:
            name = self._name(step)
            takes = [i for i in indices(step.inputs) if i not in self._stored]
            gives = indices(step.outputs)
            dtypes = tuple(sorted({dtype_of(self._tensors[i]) for i in (*takes, *gives)}))
            origin: Literal["flex", "custom"] = "flex" if name.startswith("Flex") else "custom"
            stores_otherwise = name in ("QUANTIZE", "DEQUANTIZE") and len(dtypes) > 1
            yield Operator(
                name=name,
                kind=origin if is_custom(self._model, step) else "builtin",
                takes=self._names(takes),
                gives=self._names(gives),
                dtypes=dtypes,
                has_kernel=name in KERNEL_AND_BIAS,
                is_conversion=stores_otherwise or not takes,
                computes_shape=name in ASKING or not shaping.isdisjoint(gives),
                is_of_training=is_of_training(name),
            )

    def _shaping(self) -> set[int]:
        """Tensors that are computed and decide the shape of another, by whatever way.

        Not in a loop: to write its n-th row one is cut into those before and those behind, and put
        together again to what it was.
        """
        if self._is_inner:
            return set()
        found: set[int] = set()
        for step in reversed(self._steps):
            inputs = [int(index) for index in step.inputs]
            name = self._name(step)
            places = SHAPED_BY.get(name, ())
            found.update(inputs[place] for place in places if place < len(inputs))
            if name not in ASKING and not found.isdisjoint(map(int, step.outputs)):
                found.update(inputs)
        return found - self._stored.keys()

    def weights(self) -> Iterator[Weight]:
        seen = set()
        for step in self._steps:
            for place, index in enumerate(map(int, step.inputs)):
                stored = self._stored.get(index)
                if stored is not None and stored not in seen and self._name(step) != "DEQUANTIZE":
                    seen.add(stored)
                    yield self._weight(stored, step, place)

    def _weight(self, index: int, step: Any, place: int) -> Weight:
        tensor, name = self._tensors[index], self._name(step)
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        kernel_at, bias_at = KERNEL_AND_BIAS.get(name, (None, None))
        is_kernel = place == kernel_at
        return Weight(
            name=text(tensor.name),
            dtype=dtype_of(tensor),
            elements=prod(shape),
            role="kernel" if is_kernel else "bias" if place == bias_at else "other",
            reader=text(self._tensors[step.outputs[0]].name),
            channels=shape[-1 if name == "DEPTHWISE_CONV_2D" else 0] if is_kernel else 1,
            scales=self._scales(tensor.quantization),
            may_share=name == "FULLY_CONNECTED",
        )

    def _scales(self, quantization: Any) -> int:
        if quantization is None:
            return 0
        if quantization.detailsType == schema.QuantizationDetails.BlockwiseQuantization:
            return prod(map(int, self._tensors[quantization.details.scales].shape))
        return 0 if quantization.scale is None else len(quantization.scale)

    def unsized(self) -> Iterator[str]:
        for tensor in () if self._is_inner else self._tensors:
            if tensor.shapeSignature is not None and -1 in tensor.shapeSignature:
                yield text(tensor.name)

    def unused(self) -> Iterator[str]:
        used = set(self._ends)
        for step in reversed(self._steps):
            if used.intersection(step.outputs):
                used.update(indices(step.inputs, step.outputs, step.intermediates))
        used.update(details.scales for details in block_scales(self._tensors))
        yield from self._names(sorted(set(range(len(self._tensors))) - used))

    def _names(self, places: Iterable[int]) -> tuple[str, ...]:
        return tuple(text(self._tensors[index].name) for index in places)


def _has_data(buffer: Any) -> bool:
    return buffer.data is not None and len(buffer.data) > 0
