"""TFLite in float32, float16 and with dynamic range; batch of 1."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats import quantization_json
from export.formats.format import ExportRequest, Format, Holds, Predictor
from export.tflite.quantization.recipe import DenseScales, Recipe
from pipeline.config.schema import Gate
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

    from export.formats.inspection import Inspection

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
    request.path.write_bytes(_file_of(request, converter))


def _file_of(request: ExportRequest, converter: Any) -> bytes:
    from export.tflite.complete import complete

    return complete(_converter_output(converter), request.materials.contract)


def _converter_output(converter: Any) -> bytes:
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
    from export.tflite.quantization.search import TENSORFLOW, Subject, dense_scales

    def convert(recipe: Recipe) -> bytes:
        return _file_of(request, optimizing_converter(request, recipe.dense_scales))

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
    made["input_pixels_clipped"] = 0.0
    quantization_json.note(made, request.materials.workspace, request.format_name)
    return outcome.model


def validation_images(
    request: ExportRequest, most: int | None = None
) -> "tuple[np.ndarray, np.ndarray]":
    """Images and labels by which a format is chosen among several ways to write it; all, or `most`.

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
    from export.keras_files.saved_model_writer import load_float32, write_saved_model

    materials = request.materials
    folder = materials.workspace / "saved_model_of_one"
    if not folder.exists():
        model = load_float32(materials.model, is_trusted=materials.is_trusted)
        write_saved_model(model, folder, batch=1)
    return folder


def optimizing_converter(request: ExportRequest, dense_scales: DenseScales = "channel") -> Any:
    """TensorFlow's converter, told to store weights in fewer bits; for scales, see `Recipe`."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model_of_one(request)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    one_scale = "_experimental_disable_per_channel_quantization_for_dense_layers"
    setattr(converter, one_scale, dense_scales == "one")
    return converter


def read_contract(path: Path) -> str:
    from export.tflite import complete

    return complete.read_contract(path)


def inspect(path: Path) -> "Inspection":
    from export.tflite import inspection

    return inspection.inspect(path)


def external_access(path: Path) -> Iterator[str]:
    from export.tflite import inspection

    return inspection.external_access(path)


def load(path: Path, threads: int) -> Predictor:
    from export.tflite.interpreter import load_interpreter, predictor

    return predictor(load_interpreter(path, threads=threads))
