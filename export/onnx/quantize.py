"""Quantises a float32 ONNX graph in int8, with scales from calibration images."""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.formats.format import ExportRequest
from export.formats.tensors import Tensor
from export.onnx.exporter import at_once
from export.onnx.from_keras import nodes
from pipeline.core.errors import ExportError
from pipeline.core.text import first_line

QUANTISED_OPS = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "MaxPool",
    "Relu",
    "Reshape",
    "Transpose",
]


def quantize(float32: onnx.ModelProto, request: ExportRequest) -> onnx.ModelProto:
    """Quantises a graph; weights per channel and in 7 of the 8 bits.

    An x86 processor without VNNI adds products of 8-bit weights in 16 bits and saturates; with
    7 bits it cannot, so that the file gives the same answers everywhere.
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html

    Raises:
        ExportError: one of its operators is not in the opset that was asked for.
    """
    percentile = request.materials.percentile
    prepared = request.materials.workspace / "prepared.onnx"
    onnx.save(_with_loop_inputs(float32), prepared)
    quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        request.path,
        CalibrationReader(request.materials.calibration, request.promised.input),
        calibrate_method=CalibrationMethod.Percentile if percentile else CalibrationMethod.MinMax,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED_OPS,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"CalibPercentile": percentile} if percentile else {},
    )
    return at_opset(onnx.load(request.path), request.options["opset"])


class CalibrationReader:
    """Feeds ONNX Runtime's calibration; it asks until it gets None."""

    def __init__(self, calibration: Path, taken: Tensor) -> None:
        images = taken.type.encode(np.load(calibration))
        parts = ceil(len(images) / at_once(taken.shape[0]))
        self._batches = iter(np.array_split(images, parts))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


def _with_loop_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Makes each computed value that a loop's body reads from outside an input of the loop.

    ONNX Runtime aborts on a quantised value that only a body reads: it moves DequantizeLinear
    along an edge that leads to no input.
    """
    model = onnx.shape_inference.infer_shapes(model)
    types = {value.name: value for value in (*model.graph.value_info, *model.graph.input)}
    outside = {name for node in model.graph.node for name in node.output} | {
        value.name for value in model.graph.input
    }
    for loop in model.graph.node:
        if loop.op_type == "Loop":
            body = next(a.g for a in loop.attribute if a.name == "body")
            read = {name for node in nodes(body.node) for name in node.input}
            for name in sorted(outside & read & types.keys()):
                _hand_in(loop, body, types[name])
    return model


def _hand_in(loop: Any, body: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
    """Adds a value that the loop carries along and does not change."""
    inside, after = f"{loop.name}/in/{value.name}", f"{loop.name}/after/{value.name}"
    for node in nodes(body.node):
        node.input[:] = [inside if name == value.name else name for name in node.input]
    states = len(loop.input) - 2  # the most steps and the condition come first
    body.node.append(onnx.helper.make_node("Identity", [inside], [after]))
    loop.input.append(value.name)
    body.input.append(onnx.helper.make_value_info(inside, value.type))
    body.output.insert(1 + states, onnx.helper.make_value_info(after, value.type))
    loop.output.insert(states, f"{after}/unread")


def at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    (found,) = (known.version for known in model.opset_import if known.domain in ("", "ai.onnx"))
    if found == opset:
        return model
    try:
        result = onnx.version_converter.convert_version(model, opset)
        onnx.checker.check_model(result, full_check=True)
    except Exception as error:  # the converter raises bare RuntimeErrors from C++, and others
        why = first_line(error) or type(error).__name__
        raise ExportError(
            f"its operators of opset {found} cannot be written in opset {opset} ({why}); set "
            f"export.onnx_int8.opset to {found}"
        ) from error
    return result
