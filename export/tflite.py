"""TFLite in float32, float16, with dynamic range, and in whole int8; batch of 1."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from export import tflite_file
from export.facts import Facts
from export.formats import ExportRequest, Format, FormatOptions, Holds, Predictor
from export.interface import FLOAT32, Interface, TensorType
from export.keras_model import load_float32, write_saved_model
from pipeline.config import Gate

if TYPE_CHECKING:
    import numpy as np

LOSES_LITTLE = Gate(max_accuracy_drop_points=0.3)
# The same bytes as the pixels, or less 128, so that no user has to scale anything.
INPUT_TYPES = {
    "uint8": TensorType("uint8", 1.0, 0),
    "int8": TensorType("int8", 1.0, -128),
    "float32": FLOAT32,
}
OUTPUT_TYPES = {
    "uint8": TensorType("uint8", 1 / 256, 0),
    "int8": TensorType("int8", 1 / 256, -128),
    "float32": FLOAT32,
}


class Int8Options(FormatOptions):
    """`io` is how pixels come in and probabilities go out; the layers compute in int8 anyway."""

    io: Literal["uint8", "int8", "float32"] = "uint8"

    @property
    def input_type(self) -> TensorType:
        return INPUT_TYPES[self.io]

    @property
    def output_type(self) -> TensorType:
        return OUTPUT_TYPES[self.io]


# The converter leaves kernels of fewer than 1,024 numbers in float32.
DYNAMIC = Holds(kernels=("int8",), kernel_elements=1024, is_per_channel=True)
INT8 = Holds(kernels=("int8",), activations=("int8",), biases=("int32",), is_per_channel=True)


def _format(name: str, gate: Gate, tolerance: float, holds: Holds) -> Format:
    return Format(
        name,
        f"{name}.tflite",
        gate,
        child="tflite",
        batch=1,
        tolerance=tolerance,
        holds=holds,
        targets=("android", "ios", "browser", "server"),
    )


FORMATS = (
    _format("tflite_float32", Gate(tie_margin=1e-4), 1e-5, Holds()),
    _format("tflite_float16", Gate(tie_margin=1e-2), 1e-3, Holds(kernels=("float16",))),
    _format("tflite_dynamic", LOSES_LITTLE, 1e-2, DYNAMIC),
    replace(
        _format("tflite_int8", LOSES_LITTLE, 1e-2, INT8),
        options=Int8Options,
        targets=("microcontroller", "android", "ios", "browser", "server"),
    ),
)


def write(request: ExportRequest) -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(_saved_model_of_one(request)))
    _configure(converter, request)
    completed = tflite_file.complete(converter.convert(), request.materials.contract)
    request.path.write_bytes(completed)


def _saved_model_of_one(request: ExportRequest) -> Path:
    folder = request.materials.workspace / "saved_model_of_one"
    if not folder.exists():
        write_saved_model(load_float32(request.materials.model), folder, batch=1)
    return folder


def _configure(converter: Any, request: ExportRequest) -> None:
    import tensorflow as tf

    if request.format_name == "tflite_float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if request.format_name == "tflite_float16":
        converter.target_spec.supported_types = [tf.float16]
    elif request.format_name == "tflite_int8":
        converter.representative_dataset = lambda: _representative(request.materials.calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        io = tf.dtypes.as_dtype(request.options["io"])
        converter.inference_input_type = converter.inference_output_type = io


def _representative(calibration: Path) -> Iterator[list["np.ndarray"]]:
    """Yields the calibration images, preceded by the first one with a corner at 0 and at 255.

    The input's scale comes out as the highest pixel seen less the lowest, over 255. It is exactly
    1, with zero point 0, only if both ends of 0..255 occur. One corner pixel of a real image
    shows them without widening the ranges of the layers behind, as a white image would.
    """
    import numpy as np

    images = np.load(calibration).astype(np.float32)
    for extreme in (0.0, 255.0):
        image = images[:1].copy()
        image[0, 0, 0, 0] = extreme
        yield [image]
    for start in range(len(images)):
        yield [images[start : start + 1]]


def _interpreter(path: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def read_contract(path: Path) -> str:
    return tflite_file.read_contract(path)


def facts(format_name: str, path: Path) -> Facts:
    from export import tflite_facts

    return tflite_facts.read(path)


def inspect(format_name: str, path: Path) -> Interface:
    return facts(format_name, path).interface


def load(format_name: str, path: Path, threads: int) -> Predictor:
    return TFLitePredictor(_interpreter(path, threads))


class TFLitePredictor:
    """A TFLite file in LiteRT's interpreter; see `export.formats.Predictor`."""

    def __init__(self, interpreter: Any) -> None:
        from importlib.metadata import version

        self.runtime = f"LiteRT {version('ai-edge-litert')}"
        self._interpreter = interpreter
        (self._input,) = interpreter.get_input_details()
        (self._output,) = interpreter.get_output_details()

    def run(self, images: "np.ndarray") -> "np.ndarray":
        import numpy as np

        return np.concatenate([self._run(images[i : i + 1]) for i in range(len(images))])

    def _run(self, image: "np.ndarray") -> "np.ndarray":
        self.run_prepared(image)
        return self._interpreter.get_tensor(self._output["index"])

    def prepare_one(self, image: "np.ndarray") -> Any:
        return image

    def run_prepared(self, prepared: Any) -> None:
        self._interpreter.set_tensor(self._input["index"], prepared)
        self._interpreter.invoke()
