"""ONNX in float32 and in int8 (static, QDQ); input and output float32."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from export.formats.facts import Facts
from export.formats.format import (
    ExportRequest,
    Format,
    FormatOptions,
    Holds,
    Predictor,
    chosen_options,
)
from export.formats.tensors import FLOAT32, Interface, Tensor, TensorType
from export.keras_files.saved_model_writer import load_float32
from export.onnx import from_keras, loops
from export.onnx.opsets import at_opset
from pipeline.config.schema import ExportSection, Gate

if TYPE_CHECKING:
    import numpy as np
    import onnx


OPSETS, INT8_OPSETS = (13, 18), (13, 21)


class _Options(FormatOptions):
    """How an ONNX file takes images.

    Attributes:
        opset: version of ONNX' operators.
        batch: how many images it takes at once, `N` is any; the accelerators of phones want 1.
        layout: order of an image's dimensions behind the batch's; OpenCV and MNN want `nchw`.
    """

    opset: int
    batch: Literal["N", 1] | None = None
    layout: Literal["nhwc", "nchw"] | None = None

    @property
    def asked_opset(self) -> int:
        return self.opset

    @property
    def images_at_once(self) -> int | str | None:
        return self.batch

    @property
    def input_type(self) -> TensorType:
        return TensorType(layout="NCHW") if self.layout == "nchw" else FLOAT32


class OnnxOptions(_Options):
    """Every onnxruntime-web in use reads `opset` 17."""

    opset: Annotated[int, Field(ge=OPSETS[0], le=OPSETS[1])] = 17
    batch: Literal["N", 1] = "N"
    layout: Literal["nhwc", "nchw"] = "nhwc"


class Int8Options(_Options):
    """`batch` and `layout` are those of `export.onnx` unless said.

    `opset` 19 is the first whose DequantizeLinear ONNX' reference implementation has.
    """

    opset: Annotated[int, Field(ge=INT8_OPSETS[0], le=INT8_OPSETS[1])] = 19

    def completed(self, section: ExportSection) -> "Int8Options":
        float32 = chosen_options(section, "onnx")
        assert isinstance(float32, OnnxOptions)
        others = {"batch": float32.batch, "layout": float32.layout}
        return self.model_copy(
            update={name: getattr(self, name) or other for name, other in others.items()}
        )


LIBRARIES = ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")
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
        options=Int8Options,
        child="onnx_int8",
        needs=("onnx",),
        tolerance=1e-2,
        holds=Holds(
            kernels=("int8",),
            activations=("uint8",),
            others=("uint8", "float32"),
            is_per_channel=True,
            converts_inside=True,
            opsets=INT8_OPSETS,
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

    from export.onnx import facts

    write_format = _write_float32 if request.format_name == "onnx" else _write_int8
    model = write_format(request)
    _drop_unused(model)
    del model.graph.value_info[:]  # whoever wants the shapes inside infers them
    facts.mark_layout(model, request.promised.input.type.layout)
    onnx.helper.set_model_props(model, {CONTRACT: request.materials.contract})
    onnx.save(model, request.path)


def read_contract(path: Path) -> str:
    import onnx

    for entry in onnx.load(path, load_external_data=False).metadata_props:
        if entry.key == CONTRACT:
            return str(entry.value)
    raise ValueError(f"it carries no {CONTRACT}")


def _write_float32(request: ExportRequest) -> "onnx.ModelProto":
    materials = request.materials
    model = load_float32(materials.model, is_trusted=materials.is_trusted)
    return from_keras.converted(model, request.options["opset"], request.promised.input)


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


def _write_int8(request: ExportRequest) -> "onnx.ModelProto":
    """Quantises the float32 graph; weights per channel and in 7 of the 8 bits.

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
    onnx.save(loops.with_inputs(_float32(request)), prepared)
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


def _float32(request: ExportRequest) -> "onnx.ModelProto":
    """The graph to quantise: that of the float32 file, if it takes images as this one is to."""
    import onnx

    written = request.needs["onnx"]
    if inspect("onnx", written).input == request.promised.input:
        return onnx.load(written)
    return _write_float32(replace(request, options={"opset": OnnxOptions().opset}))


class CalibrationReader:
    """Feeds ONNX Runtime's calibration; it asks until it gets None."""

    def __init__(self, calibration: Path, taken: Tensor) -> None:
        import numpy as np

        images = taken.type.encode(np.load(calibration))
        parts = math.ceil(len(images) / _at_once(taken.shape[0]))
        self._batches = iter(np.array_split(images, parts))

    def get_next(self) -> "dict[str, np.ndarray] | None":
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


def _at_once(batch: int | str) -> int:
    return batch if isinstance(batch, int) else BATCH


def facts(format_name: str, path: Path) -> Facts:
    from export.onnx import facts

    return facts.read(path)


def reach(format_name: str, path: Path) -> Iterator[str]:
    from export.onnx import external_access

    return external_access.reach(path)


def inspect(format_name: str, path: Path) -> Interface:
    import onnx

    from export.onnx import facts

    return facts.interface(onnx.load(path, load_external_data=False))


def runs_from(path: Path) -> str | None:
    import onnx

    from export.onnx import facts

    return facts.runs_from(onnx.load(path, load_external_data=False))


def load(format_name: str, path: Path, threads: int) -> Predictor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return OnnxPredictor(session)


class OnnxPredictor:
    """An ONNX file in ONNX Runtime on the CPU; see `export.formats.format.Predictor`."""

    def __init__(self, session: Any) -> None:
        import onnxruntime

        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        self._session = session
        self._at_once = _at_once(session.get_inputs()[0].shape[0])

    def run(self, images: "np.ndarray") -> "np.ndarray":
        import numpy as np

        parts = range(0, len(images), self._at_once)
        return np.concatenate([self._run(images[i : i + self._at_once]) for i in parts])

    def _run(self, images: "np.ndarray") -> "np.ndarray":
        return self._session.run(["probabilities"], self.prepare_one(images))[0]

    def prepare_one(self, image: "np.ndarray") -> Any:
        return {"image": image}

    def run_prepared(self, prepared: Any) -> None:
        self._session.run(["probabilities"], prepared)
