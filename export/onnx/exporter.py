"""ONNX in float32 and in int8 (static, QDQ); input and output float32."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from export.formats.format import (
    ExportRequest,
    Format,
    FormatOptions,
    Holds,
    Predictor,
    chosen_options,
)
from export.formats.tensors import FLOAT32, TensorType
from pipeline.config.schema import ExportSection, Gate

if TYPE_CHECKING:
    import onnx

    from export.formats.inspection import Inspection


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
BATCH = 500
CONTRACT = "evenkeel.contract"


def write(request: ExportRequest) -> None:
    import onnx

    from export.onnx import inspection

    if request.format_name == "onnx":
        model = _float32(request, request.options["opset"])
    else:
        model = _int8(request)
    _drop_unused(model)
    del model.graph.value_info[:]  # whoever wants the shapes inside infers them
    inspection.mark_layout(model, request.promised.input.type.layout)
    onnx.helper.set_model_props(model, {CONTRACT: request.materials.contract})
    onnx.save(model, request.path)


def _float32(request: ExportRequest, opset: int) -> "onnx.ModelProto":
    from export.keras_files.saved_model_writer import load_float32
    from export.onnx import from_keras

    materials = request.materials
    model = load_float32(materials.model, is_trusted=materials.is_trusted)
    return from_keras.convert(model, opset, request.promised.input)


def _int8(request: ExportRequest) -> "onnx.ModelProto":
    """From the float32 file's graph, if that takes images as this one is to."""
    import onnx

    from export.onnx.quantize import quantize

    written = request.needs["onnx"]
    takes_the_same = inspect(written).interface.input == request.promised.input
    float32 = onnx.load(written) if takes_the_same else _float32(request, OnnxOptions().opset)
    return quantize(float32, request)


def _drop_unused(model: "onnx.ModelProto") -> None:
    """Drops nodes and constants that lead nowhere, and operator sets that no node is from.

    What the graphs inside of loops and branches take from outside leads somewhere.
    """
    from export.onnx.from_keras import nodes

    graph = model.graph
    used = {output.name for output in graph.output}
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(*(inside.input for inside in nodes([node])))
    domains = {node.domain for node in graph.node}
    _keep(graph.node, lambda node: bool(used.intersection(node.output)))
    _keep(graph.initializer, lambda tensor: tensor.name in used)
    _keep(model.opset_import, lambda opset: opset.domain in domains)


def _keep(repeated: Any, is_kept: Callable[[Any], bool]) -> None:
    for item in [item for item in repeated if not is_kept(item)]:
        repeated.remove(item)


def at_once(batch: int | str) -> int:
    """How many images a call is given of a graph for so many, or for any number."""
    return batch if isinstance(batch, int) else BATCH


def read_contract(path: Path) -> str:
    import onnx

    for entry in onnx.load(path, load_external_data=False).metadata_props:
        if entry.key == CONTRACT:
            return str(entry.value)
    raise ValueError(f"it carries no {CONTRACT}")


def inspect(path: Path) -> "Inspection":
    from export.onnx import inspection

    return inspection.inspect(path)


def external_access(path: Path) -> Iterator[str]:
    from export.onnx import inspection

    return inspection.external_access(path)


def load(path: Path, threads: int) -> Predictor:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Predictor(
        f"ONNX Runtime {onnxruntime.__version__}",
        lambda feeds: session.run(["probabilities"], feeds)[0],
        at_once(session.get_inputs()[0].shape[0]),
        lambda images: {"image": images},
    )
