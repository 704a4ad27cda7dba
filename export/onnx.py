"""ONNX in float32 and in int8 (static, QDQ); any batch, named `N`; input and output float32."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from export.facts import Facts
from export.formats import ExportRequest, Format, FormatOptions, Holds, Predictor
from export.interface import Interface
from export.model_files.keras_model import load_float32
from export.onnx_files import from_keras, loops
from pipeline.config import Gate

if TYPE_CHECKING:
    import numpy as np
    import onnx


OPSETS = (13, 18)


class OnnxOptions(FormatOptions):
    """`opset` 17 is read by ONNX Runtime since 1.12 and by every onnxruntime-web in use."""

    opset: Annotated[int, Field(ge=OPSETS[0], le=OPSETS[1])] = 17

    @property
    def asked_opset(self) -> int:
        return self.opset


TARGETS = ("android", "ios", "browser", "server")
FORMATS = (
    Format(
        "onnx",
        "model.onnx",
        Gate(tie_margin=1e-4),
        options=OnnxOptions,
        holds=Holds(opsets=OPSETS),
        targets=TARGETS,
    ),
    Format(
        "onnx_int8",
        "model_int8.onnx",
        Gate(max_accuracy_drop_points=0.3),
        child="onnx_int8",
        needs=("onnx",),
        tolerance=1e-2,
        holds=Holds(
            kernels=("int8",),
            activations=("uint8",),
            others=("uint8", "float32"),
            is_per_channel=True,
            converts_inside=True,
            opsets=OPSETS,
        ),
        targets=TARGETS,
    ),
)
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
BATCH = 500


CONTRACT = "evenkeel.contract"


def write(request: ExportRequest) -> None:
    import onnx

    if request.format_name == "onnx":
        _write_float32(request)
    else:
        _write_int8(request)
    model = onnx.load(request.path)
    _drop_unused(model)
    onnx.helper.set_model_props(model, {CONTRACT: request.materials.contract})
    onnx.save(model, request.path)


def read_contract(path: Path) -> str:
    import onnx

    for entry in onnx.load(path, load_external_data=False).metadata_props:
        if entry.key == CONTRACT:
            return str(entry.value)
    raise ValueError(f"it carries no {CONTRACT}")


def _write_float32(request: ExportRequest) -> None:
    import onnx

    materials, options = request.materials, request.options
    model = load_float32(materials.model, is_trusted=materials.is_trusted)
    converted = from_keras.converted(model, options["opset"], None, "nhwc")
    onnx.save(converted, request.path)


def _drop_unused(model: "onnx.ModelProto") -> None:
    """Drops nodes and constants that lead nowhere, and operator sets that no node is from.

    What the graphs inside of loops and branches take from outside leads somewhere.
    """
    graph = model.graph
    used = {output.name for output in graph.output}
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(*(inside.input for inside in from_keras.nodes([node])))
    domains = {node.domain for node in graph.node}
    _keep(graph.node, lambda node: bool(used.intersection(node.output)))
    _keep(graph.initializer, lambda tensor: tensor.name in used)
    _keep(model.opset_import, lambda opset: opset.domain in domains)


def _keep(repeated: Any, is_kept: Callable[[Any], bool]) -> None:
    for item in [item for item in repeated if not is_kept(item)]:
        repeated.remove(item)


def _write_int8(request: ExportRequest) -> None:
    """Quantises the float32 file; weights per channel and in 7 of the 8 bits.

    An x86 processor without VNNI adds products of 8-bit weights in 16 bits and saturates; with
    7 bits it cannot, so that the file gives the same answers everywhere.
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    percentile = request.materials.percentile
    prepared = request.materials.workspace / "prepared.onnx"
    onnx.save(loops.with_inputs(onnx.load(request.needs["onnx"])), prepared)
    quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        request.path,
        CalibrationReader(request.materials.calibration),
        calibrate_method=CalibrationMethod.Percentile if percentile else CalibrationMethod.MinMax,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED_OPS,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"CalibPercentile": percentile} if percentile else {},
    )
    onnx.checker.check_model(request.path, full_check=True)


class CalibrationReader:
    """Feeds ONNX Runtime's calibration; it asks until it gets None."""

    def __init__(self, calibration: Path) -> None:
        import numpy as np

        images = np.load(calibration).astype(np.float32)
        self._batches = iter(np.array_split(images, math.ceil(len(images) / BATCH)))

    def get_next(self) -> "dict[str, np.ndarray] | None":
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


def facts(format_name: str, path: Path) -> Facts:
    from export.facts import onnx_facts

    return onnx_facts.read(path)


def reach(format_name: str, path: Path) -> Iterator[str]:
    from export.facts import onnx_reach

    return onnx_reach.reach(path)


def inspect(format_name: str, path: Path) -> Interface:
    import onnx

    from export.facts import onnx_facts

    return onnx_facts.interface(onnx.load(path, load_external_data=False))


def load(format_name: str, path: Path, threads: int) -> Predictor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return OnnxPredictor(session)


class OnnxPredictor:
    """An ONNX file in ONNX Runtime on the CPU; see `export.formats.Predictor`."""

    def __init__(self, session: Any) -> None:
        import onnxruntime

        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        self._session = session

    def run(self, images: "np.ndarray") -> "np.ndarray":
        import numpy as np

        starts = range(0, len(images), BATCH)
        return np.concatenate([self._run(images[start : start + BATCH]) for start in starts])

    def _run(self, images: "np.ndarray") -> "np.ndarray":
        return self._session.run(["probabilities"], self.prepare_one(images))[0]

    def prepare_one(self, image: "np.ndarray") -> Any:
        return {"image": image}

    def run_prepared(self, prepared: Any) -> None:
        self._session.run(["probabilities"], prepared)
