"""TFLite in float32, float16 and with dynamic range; batch of 1."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import quantization_json
from export.formats.facts import Facts
from export.formats.format import ExportRequest, Format, Holds, Predictor
from export.formats.tensors import Interface
from export.keras_files.saved_model_writer import load_float32, write_saved_model
from export.tflite import complete, contract_entry
from export.tflite import interpreter as running
from export.tflite.quantization.quantize import DenseScales, Recipe
from export.tflite.quantization.search import TENSORFLOW, Subject, dense_scales
from pipeline.config.schema import Gate
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

LOSES_LITTLE = Gate(max_accuracy_drop_points=0.3)
# The converter leaves kernels of fewer than 1,024 numbers in float32.
DYNAMIC = Holds(kernels=("int8",), kernel_elements=1024, is_per_channel=True)
# What TensorFlow's converter says of an operator that TFLite has not, and where of its layer.
NOT_IN_TFLITE = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
PLACE = r'"{}:", "(?:imported_\d+/)?([^"@]+)@'
# Images that tell whether dynamic range holds its gate: it rounds weights alone, by a little.
MOST_JUDGED = 1000


def _format(
    name: str, gate: Gate, tolerance: float, holds: Holds, needs: tuple[str, ...] = ()
) -> Format:
    return Format(
        name,
        f"{name}.tflite",
        gate,
        child="tflite",
        needs=needs,
        batch=1,
        tolerance=tolerance,
        holds=holds,
        targets=("android", "ios", "browser", "server"),
    )


LIBRARIES = (
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "litert-quantizer",
    "flatbuffers",
    "numpy",
)
FORMATS = (
    _format("tflite_float32", Gate(tie_margin=1e-4), 1e-5, Holds()),
    _format("tflite_float16", Gate(tie_margin=1e-2), 1e-3, Holds(kernels=("float16",))),
    _format("tflite_dynamic", LOSES_LITTLE, 1e-2, DYNAMIC, ("tflite_float32",)),
)


def write(request: ExportRequest) -> None:
    if request.format_name == "tflite_dynamic":
        request.path.write_bytes(_dynamic(request))
        return
    import tensorflow as tf

    converter = optimizing_converter(request)
    if request.format_name == "tflite_float32":
        converter.optimizations = []
    else:
        converter.target_spec.supported_types = [tf.float16]
    request.path.write_bytes(_completed(request, converter))


def _completed(request: ExportRequest, converter: Any) -> bytes:
    return complete.complete(_converted(converter), request.materials.contract)


def _converted(converter: Any) -> bytes:
    """What the converter gives.

    Raises:
        ExportError: the model has an operator that TFLite has not.
    """
    try:
        return bytes(converter.convert())
    except Exception as error:  # its own class is private
        lacking = NOT_IN_TFLITE.search(str(error))
        if not lacking:
            raise
        place = re.search(PLACE.format(lacking[1]), str(error))
        raise ExportError(
            f"TFLite has no operator for {lacking[1]}{f' ({place[1]})' if place else ''}; replace "
            "the layer that it is from by one of other operators, or leave the formats of TFLite "
            "out of export.formats"
        ) from error


def _dynamic(request: ExportRequest) -> bytes:
    """With one scale a dense kernel where that holds the gate: older releases run it too."""

    def convert(recipe: Recipe) -> bytes:
        return _completed(request, optimizing_converter(request, recipe.dense_scales))

    if request.materials.validation is None:
        return convert(Recipe(dense_scales="one"))
    images, labels = validation_images(request, MOST_JUDGED)
    subject = Subject(
        request.needs["tflite_float32"].read_bytes(),
        {},
        Recipe(),
        images,
        labels,
        request.max_accuracy_drop_points,
        lambda model: model,
    )
    outcome = dense_scales(subject, TENSORFLOW, convert)
    made = outcome.record()
    for entry in (made, *made["tries"]):
        entry["kept"] = {}  # all layers compute in float32: that is the format
    made |= {"bound_points": subject.bound, "validation_images": len(subject.labels)}
    quantization_json.note(
        {**made, "input_pixels_clipped": 0.0}, request.materials.workspace, request.format_name
    )
    return outcome.model


def validation_images(
    request: ExportRequest, most: int | None = None
) -> "tuple[np.ndarray, np.ndarray]":
    """Images and labels by which a format is chosen among several ways to write it.

    Args:
        request: what to write.
        most: so many of them at most, spread over all.

    Raises:
        ExportError: there are none.
    """
    import numpy as np

    from pipeline.data.images.stratified import evenly_spread

    if request.materials.validation is None:
        raise ExportError(f"{request.format_name} is chosen by validation images; none are given")
    with np.load(request.materials.validation) as validation:
        images, labels = validation["images"], validation["labels"]
    some = evenly_spread(len(labels), most or len(labels))
    return images[some], labels[some]


def saved_model_of_one(request: ExportRequest) -> Path:
    materials = request.materials
    folder = materials.workspace / "saved_model_of_one"
    if not folder.exists():
        model = load_float32(materials.model, is_trusted=materials.is_trusted)
        write_saved_model(model, folder, batch=1)
    return folder


def optimizing_converter(request: ExportRequest, dense_scales: DenseScales = "channel") -> Any:
    """TensorFlow's converter, told to store weights in fewer bits.

    Args:
        request: what to write.
        dense_scales: see `quantizing.recipes.Recipe`.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model_of_one(request)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    one_scale = "_experimental_disable_per_channel_quantization_for_dense_layers"
    setattr(converter, one_scale, dense_scales == "one")
    return converter


def read_contract(path: Path) -> str:
    return contract_entry.read_contract(path)


def facts(format_name: str, path: Path) -> Facts:
    from export.tflite import facts as tflite_facts

    return tflite_facts.read(path)


def reach(format_name: str, path: Path) -> Iterator[str]:
    from export.tflite import external_access

    return external_access.reach(path)


def runs_from(path: Path) -> str | None:
    from export.tflite.flatbuffer import parse
    from export.tflite.versions.operator_codes import runs_from

    return runs_from(parse(path.read_bytes()))


def inspect(format_name: str, path: Path) -> Interface:
    return facts(format_name, path).interface


def load(format_name: str, path: Path, threads: int) -> Predictor:
    return TFLitePredictor(running.interpreter(path, threads=threads))


class TFLitePredictor:
    """A TFLite file in LiteRT's interpreter; see `export.formats.format.Predictor`."""

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
