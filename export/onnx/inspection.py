"""What an ONNX file holds and would reach, by its protobuf; no runtime is asked."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from export.formats.inspection import Inspection, Operator, Weight, is_of_training
from export.formats.tensors import Interface, Tensor, TensorType
from export.onnx.from_keras import nodes
from pipeline.core.content import kind_of_bytes

STANDARD_DOMAINS = ("", "ai.onnx")
KERNELS = ("Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger")
# They give the same numbers in another place or form: what lies behind is what is stored.
CARRIES = ("DequantizeLinear", "Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
# The first ONNX Runtime that runs an opset, tried with each release from 1.7.0 on.
RELEASES = {
    13: "1.7.0", 14: "1.8.0", 15: "1.9.0", 16: "1.11.0", 17: "1.12.0", 18: "1.14.0", 19: "1.16.0",
    20: "1.17.0", 21: "1.20.0",
}  # fmt: skip
# ONNX' own words for what a dimension of an image is, by where the channels are.
DENOTATIONS = {
    "NHWC": ("DATA_BATCH", "DATA_FEATURE", "DATA_FEATURE", "DATA_CHANNEL"),
    "NCHW": ("DATA_BATCH", "DATA_CHANNEL", "DATA_FEATURE", "DATA_FEATURE"),
}


def inspect(path: Path) -> Inspection:
    model = onnx.load(path, load_external_data=False)
    (taken,), (given,) = model.graph.input, model.graph.output
    opsets = {known.domain: known.version for known in model.opset_import}
    opset = opsets.get("", 0)
    graph = _Graph(onnx.shape_inference.infer_shapes(model).graph)
    return Inspection(
        interface=Interface(_tensor(taken), _tensor(given)),
        weights=tuple(graph.weights()),
        operators=tuple(graph.operators()),
        unused=tuple(graph.unused()),
        opsets=opsets,
        runs_from=f"ONNX Runtime {RELEASES[opset]}" if opset in RELEASES else None,
    )


def mark_layout(model: "onnx.ModelProto", layout: Literal["NCHW"] | None) -> None:
    """Says in the model itself what each dimension of its images is."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, denotation in zip(dims, DENOTATIONS[layout or "NHWC"], strict=True):
        dim.denotation = denotation


def _tensor(value: "onnx.ValueInfoProto") -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in kind.shape.dim)
    denotations = tuple(dim.denotation for dim in kind.shape.dim)
    layout: Literal["NCHW"] | None = "NCHW" if denotations == DENOTATIONS["NCHW"] else None
    return Tensor(value.name, shape, TensorType(_dtype(kind.elem_type), layout=layout))


def _dtype(element_type: int) -> str:
    name = str(onnx.TensorProto.DataType.Name(element_type)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


class _Graph:
    """A graph, with its values by name."""

    def __init__(self, graph: "onnx.GraphProto") -> None:
        self._graph = graph
        self._constants = {value.name: value for value in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        self._sources = {output: node for node in graph.node for output in node.output}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        values = (*graph.value_info, *graph.input, *graph.output)
        self._dtypes = {v.name: _dtype(v.type.tensor_type.elem_type) for v in values}
        self._dtypes |= {name: _dtype(c.data_type) for name, c in self._constants.items()}

    def _behind(self, name: str) -> tuple[str, "onnx.NodeProto | None"]:
        """The value whose numbers this one is, and what dequantises them on the way."""
        dequantises = None
        while (source := self._sources.get(name)) is not None and source.op_type in CARRIES:
            if source.op_type == "DequantizeLinear":
                dequantises = source
            name = source.input[0]
        return name, dequantises

    def weights(self) -> Iterator[Weight]:
        seen = set()
        for node in self._graph.node:
            if node.op_type in CARRIES and self._behind(node.input[0])[0] in self._constants:
                continue
            for place, name in enumerate(node.input):
                stored, dequantises = self._behind(name)
                if stored in self._constants and stored not in seen:
                    seen.add(stored)
                    yield self._weight(stored, dequantises, node, place)

    def _weight(self, name: str, dequantises: Any, node: Any, place: int) -> Weight:
        constant = self._constants[name]
        has_kernel = node.op_type in KERNELS
        is_kernel = has_kernel and (place == 1 or (node.op_type == "MatMul" and place == 0))
        scale = self._constants.get(dequantises.input[1]) if dequantises else None
        return Weight(
            name=name,
            dtype=_dtype(constant.data_type),
            elements=prod(constant.dims),
            role="kernel" if is_kernel else "bias" if has_kernel else "other",
            reader=node.output[0],
            channels=constant.dims[_channel_axis(node)] if is_kernel else 1,
            scales=prod(scale.dims) if scale is not None else 0,
        )

    def operators(self) -> Iterator[Operator]:
        for node in nodes(self._graph.node):
            takes = tuple(n for n in node.input if n and self._behind(n)[0] not in self._constants)
            has_kernel = node.op_type in KERNELS
            dtypes = self._computes(node) if has_kernel else self._of((*takes, *node.output))
            yield Operator(
                name=node.op_type,
                kind="builtin" if node.domain in STANDARD_DOMAINS else "custom",
                takes=takes,
                gives=tuple(node.output),
                dtypes=dtypes,
                has_kernel=has_kernel,
                is_conversion=node.op_type in ("QuantizeLinear", "DequantizeLinear"),
                is_of_training=is_of_training(node.op_type) or _learns(node),
            )

    def _of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({self._dtypes[name] for name in names if name in self._dtypes}))

    def _computes(self, node: Any) -> tuple[str, ...]:
        """A runtime computes in 8 bits where these go in and where nothing else comes out."""
        source = self._sources.get(node.input[0])
        is_dequantised = source is not None and source.op_type == "DequantizeLinear"
        taken = source.input[0] if source is not None and is_dequantised else node.input[0]
        readers = self._readers.get(node.output[0], [])
        is_quantised = readers and all(r.op_type == "QuantizeLinear" for r in readers)
        given = readers[0].output[0] if is_quantised else node.output[0]
        return self._of((taken, given))

    def unused(self) -> Iterator[str]:
        used = {output.name for output in self._graph.output}
        for node in reversed(self._graph.node):
            if used.intersection(node.output):
                used.update(*(inside.input for inside in nodes([node])))
            else:
                yield from node.output
        yield from (name for name in self._constants if name not in used)


def _channel_axis(node: "onnx.NodeProto") -> int:
    if node.op_type in ("Conv", "ConvInteger"):
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    is_transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if is_transposed else -1


def _learns(node: "onnx.NodeProto") -> bool:
    return any(a.name == "training_mode" and a.i for a in node.attribute)


def external_access(path: Path) -> Iterator[str]:
    """What of the file would reach beyond it; each ends a sentence on it."""
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
