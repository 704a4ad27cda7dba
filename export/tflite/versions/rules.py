"""The version of each operator of a TFLite file: what a runtime must know of it to run it.

The rules of https://github.com/google-ai-edge/LiteRT, tflite/converter/tools/versioning, for the
operators and types that a network in float32, float16, 16, 8 or 4 bits can have. TensorFlow's
converter follows them; litert-quantizer leaves every version at 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.tflite.flatbuffer import dtype_of, kind, scales, steps
from export.tflite.versions.releases import RELEASES

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

# Operators whose version is that of their first input's type, and 1 of any other type.
_8, _8_16, _BOTH = {"int8": 2}, {"int8": 2, "int16": 3}, {"int8": 2, "int16": 2}
BY_TYPE: Mapping[str, Mapping[str, int]] = {
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "REDUCE_MAX", "REDUCE_MIN"), _8_16),
    **dict.fromkeys(("SOFTMAX", "TANH", "LOGISTIC", "RELU6", "RSQRT", "MIRROR_PAD"), _8_16),
    **dict.fromkeys(("SUM", "GREATER", "LESS_EQUAL", "SQUARED_DIFFERENCE", "LOG_SOFTMAX"), _8),
    **dict.fromkeys(("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPLIT_V", "NOT_EQUAL"), _8),
    **dict.fromkeys(("LESS", "GREATER_EQUAL", "TOPK_V2"), _8_16),
    **dict.fromkeys(("EXP", "LOG", "REDUCE_PROD"), _BOTH),
    "ARG_MAX": {"int8": 2, "bool": 3},
    "ARG_MIN": {"int8": 2, "bool": 3},
    "CONCATENATION": {**_8_16, "uint32": 4},
    "EQUAL": {"int8": 2, "int16": 4},
    "FLOOR_DIV": {"float32": 2, "int8": 3, "int16": 3},
    "FLOOR_MOD": _BOTH,
    "GELU": {"int8": 2, "uint8": 2},
    "LEAKY_RELU": {"int16": 2},
    "PACK": {**_8_16, "uint32": 4},
    "RANGE": {"int64": 2},
    "RELU": {"int8": 2, "uint8": 2, "int16": 3},
    "REVERSE_V2": {"bool": 2, "int8": 3},
    "SELECT_V2": {"uint32": 2},
    "SIGN": {"int32": 2},
    "TILE": {"int8": 3},
    "UNPACK": {"int8": 2, "uint8": 2, "bool": 3, "int16": 4},
}


@dataclass(frozen=True)
class Step:
    """An operator with the tensors that it reads and gives; None is an input that is left out."""

    kind: str
    inputs: "tuple[Any | None, ...]"
    outputs: tuple[Any, ...]
    options: Any

    def takes(self, place: int = 0) -> str:
        """The dtype of an input; empty if there is none."""
        tensor = self.inputs[place] if place < len(self.inputs) else None
        return "" if tensor is None else dtype_of(tensor)

    @property
    def gives(self) -> str:
        return dtype_of(self.outputs[0])

    def shape(self, place: int = 0) -> tuple[int, ...]:
        tensor = self.inputs[place] if place < len(self.inputs) else None
        return () if tensor is None or tensor.shape is None else tuple(map(int, tensor.shape))

    def option(self, name: str) -> Any:
        return getattr(self.options, name, None)

    @property
    def is_hybrid(self) -> bool:
        """Whether it takes and gives float32, and multiplies by 8-bit weights."""
        return (self.takes(), self.takes(1), self.gives) == ("float32", "int8", "float32")

    @property
    def broadcasts_beyond_4(self) -> bool:
        return self.shape() != self.shape(1) and max(len(self.shape()), len(self.shape(1))) > 4


def _has_scale_a(tensor: Any, axis: int) -> bool:
    return len(scales(tensor)) == int(tensor.shape[axis])


def _conv_2d(step: Step) -> int:
    kernel = step.inputs[1]
    if step.takes() == "int16" and step.takes(1) == "int8" and step.option("quantizedBiasType"):
        return 8
    if step.shape() and step.shape()[3] != step.shape(1)[3]:
        return 6  # grouped
    if step.takes() == "int8":
        return {"int8": 3, "int4": 7}.get(step.takes(1), 1)
    return (5 if _has_scale_a(kernel, 0) else 2) if step.is_hybrid else 1


def _depthwise(step: Step) -> int:
    if step.is_hybrid:
        return 6 if _has_scale_a(step.inputs[1], 3) else 4
    if step.takes() == "int8":
        return {"int8": 3, "int4": 7}.get(step.takes(1), 1)
    return 2 if (step.option("dilationWFactor"), step.option("dilationHFactor")) != (1, 1) else 1


def _fully_connected(step: Step) -> int:
    types = step.takes(), step.takes(1)
    if types == ("int16", "int4"):
        return 13
    if step.is_hybrid and _has_scale_a(step.inputs[1], 0):
        return 12
    if types == ("int16", "int8") and step.option("quantizedBiasType"):
        return 11
    if types == ("int16", "int16"):
        return 7
    if len(step.inputs) == 2:
        return 6
    if step.option("keepNumDims"):
        return 5
    if step.is_hybrid:
        return 9 if step.option("asymmetricQuantizeInputs") else 3
    return {("int8", "int8"): 4, ("int8", "int4"): 10}.get(types, 1)


def _transpose_conv(step: Step) -> int:
    if step.takes() == "int16" and step.takes(1) == "int8" and step.option("quantizedBiasType"):
        return 5
    if step.option("fusedActivationFunction"):
        return 4
    if step.takes(3):
        return 3
    return 2 if step.takes(1) == "int8" else 1


def _batch_matmul(step: Step) -> int:
    if step.is_hybrid and step.option("asymmetricQuantizeInputs"):
        return 4
    return _8_16.get(step.takes(), 1)


def _add(step: Step) -> int:
    if step.takes() == "int16":
        if step.inputs[0] is not None and step.inputs[0].quantization is None:
            return 5
        return 1 if step.option("potScaleInt16") else 3
    return {"int64": 4, "int8": 2}.get(step.takes(), 1)


def _sub(step: Step) -> int:
    if step.takes() == "int16" and not step.option("potScaleInt16"):
        return 5
    if step.takes() == "int64":
        return 4
    return 3 if step.broadcasts_beyond_4 else _8.get(step.takes(), 1)


def _mul(step: Step) -> int:
    one, other = step.inputs[0], step.inputs[1]
    is_quantized = any(t is not None and t.quantization is not None for t in (one, other))
    if step.takes() == "uint32" or (step.takes() == "int16" and not is_quantized):
        return 7
    if step.takes() in ("int64", "int16"):
        return {"int64": 5, "int16": 4}[step.takes()]
    first = [scales(tensor)[:1] for tensor in (one, other, step.outputs[0])]
    if all(first) and first[0][0] * first[1][0] / first[2][0] >= 1:
        return 3
    return _8.get(step.takes(), 1)


def _extreme(step: Step) -> int:
    """Of MAXIMUM and MINIMUM."""
    if step.takes() == "int16":
        return 4
    return 3 if step.broadcasts_beyond_4 else _8.get(step.takes(), 1)


def _resize(step: Step) -> int:
    if step.takes() == "int16":
        return 4
    corners = step.kind == "RESIZE_NEAREST_NEIGHBOR" and step.option("alignCorners")
    return 3 if corners or step.option("halfPixelCenters") else _8.get(step.takes(), 1)


def _strided_slice(step: Step) -> int:
    if step.option("offset"):
        return 8
    if step.takes() == "uint32":
        return 7
    if step.option("ellipsisMask") or step.option("newAxisMask"):
        return 6
    return 4 if len(step.shape()) > 4 else {"int8": 2, "bool": 3}.get(step.takes(), 1)


def _gather(step: Step) -> int:
    if step.takes() == "int4":
        return 7
    if step.takes(1) == "int16":
        return 6
    if step.option("batchDims"):
        return 5
    return {"int8": 2, "bool": 3, "int16": 4}.get(step.takes(), 1)


def _gather_nd(step: Step) -> int:
    if step.takes() == "bool":
        return 5
    return 4 if step.takes(1) == "int16" else {"int16": 3}.get(step.takes(), 1)


def _transpose(step: Step) -> int:
    if step.takes() == "int4":
        return 7
    if len(step.shape()) > 5:
        return 6
    if step.takes() == "int16":
        return 5
    return 4 if len(step.shape()) > 4 else {"int8": 2, "bool": 3}.get(step.takes(), 1)


def _slice(step: Step) -> int:
    if step.takes() == "uint32":
        return 6
    if len(step.shape()) > 4:
        return 5
    return {"int8": 2, "int16": 4}.get(step.takes(), 1)


def _pad(step: Step) -> int:
    if step.takes() == "bool":
        return 5
    return 4 if len(step.shape()) > 4 else _8_16.get(step.takes(), 1)


def _batches_and_space(step: Step) -> int:
    if step.takes() == "int16":
        return 4
    return 3 if len(step.shape()) != 4 else _8.get(step.takes(), 1)


def _quantize(step: Step) -> int:
    if "int4" in (step.takes(), step.gives):
        return 4
    if len(scales(step.outputs[0])) > 1:
        return 3
    return 2 if step.gives == "int16" else 1


def _dequantize(step: Step) -> int:
    if step.takes() == "int8":
        return 5 if len(scales(step.inputs[0])) > 1 else 2
    return {"int4": 6, "int16": 3, "float16": 3}.get(step.takes(), 1)


def _cast(step: Step) -> int:
    types = {step.takes(), step.gives}
    if step.takes() == "int4" and step.gives == "float32":
        return 6
    wanted = (("bfloat16", 7), ("float64", 5), ("float16", 5), ("uint16", 4), ("int8", 3))
    return next((version for dtype, version in (*wanted, ("uint32", 2)) if dtype in types), 1)


def _abs(step: Step) -> int:
    if step.takes() == "int16":
        return 4 if step.inputs[0] is None or step.inputs[0].quantization is None else 3
    return {"int32": 5, "int8": 2, "uint8": 2}.get(step.takes(), 1)


def _select(step: Step) -> int:
    if step.takes() == "uint32":
        return 4
    return 3 if 5 in (len(step.shape(i)) for i in range(3)) else _8.get(step.takes(), 1)


def _lstm(step: Step) -> int:
    """Of UNIDIRECTIONAL_SEQUENCE_LSTM."""
    if (step.takes(), step.takes(2)) == ("int16", "int8"):
        return 5
    if step.option("diagonalRecurrentTensors"):
        return 4
    if (step.takes(), step.takes(2)) == ("float32", "int8"):
        return 3 if step.option("asymmetricQuantizeInputs") else 2
    return 1


FILLS = {"float16": 4, "int8": 3, "int16": 3, "bool": 2}
BY_RULE: Mapping[str, Callable[[Step], int]] = {
    "ABS": _abs,
    "ADD": _add,
    "BATCH_MATMUL": _batch_matmul,
    "BATCH_TO_SPACE_ND": _batches_and_space,
    "BROADCAST_TO": lambda step: 3 if step.takes() in _8_16 else 2,
    "CAST": _cast,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantize,
    "DIV": lambda step: 2 if step.broadcasts_beyond_4 else 1,
    "FILL": lambda step: FILLS.get(step.takes(1), 1),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "L2_NORMALIZATION": lambda step: _8.get(step.gives, 1),
    "MAXIMUM": _extreme,
    "MINIMUM": _extreme,
    "MUL": _mul,
    "PAD": _pad,
    "PADV2": _pad,
    "QUANTIZE": _quantize,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SELECT": _select,
    "SLICE": _slice,
    "SPACE_TO_BATCH_ND": _batches_and_space,
    "SPLIT": lambda step: {"int16": 4, "int32": 3, "int8": 2}.get(step.takes(1), 1),
    "STRIDED_SLICE": _strided_slice,
    "SUB": _sub,
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "WHERE": lambda step: 1 if step.takes() == "bool" else 2,
}


def expected(model: "ModelT") -> list[int | None]:
    """The version that each entry of a model's list of operators must have, in its order.

    Operators that share an entry need the greatest of theirs. None where no operator uses it, and
    of kinds that have had several versions and no rule here.
    """
    found: list[int | None] = [None] * len(model.operatorCodes)
    for graph, operator in steps(model):
        if version := _version(_step(model, graph, operator)):
            at = operator.opcodeIndex
            found[at] = max(found[at] or 1, version)
    return found


def _version(step: Step) -> int | None:
    if step.kind in BY_RULE:
        return BY_RULE[step.kind](step)
    if step.kind in BY_TYPE:
        return BY_TYPE[step.kind].get(step.takes(), 1)
    return 1 if len(RELEASES.get(step.kind, "").split()) == 1 else None


def _step(model: "ModelT", graph: Any, operator: Any) -> Step:
    def tensors(indices: Any) -> tuple[Any, ...]:
        return tuple(
            None if i < 0 else graph.tensors[i] for i in (() if indices is None else indices)
        )

    return Step(
        kind(model, operator),
        tensors(operator.inputs),
        tensors(operator.outputs),
        operator.builtinOptions,
    )
