"""TFLite with 8-bit activations and kernels of 8 or 4 bits; batch of 1."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from export.formats import quantization_json
from export.formats.format import ExportRequest, Format, FormatOptions, Holds
from export.formats.tensors import FLOAT32, TensorType
from export.tflite import float_exporter
from export.tflite.float_exporter import (
    LOSES_LITTLE,
    external_access,
    inspect,
    load,
    optimizing_converter,
    read_contract,
    validation_images,
)
from export.tflite.quantization.recipe import Io, Recipe, Rounding

if TYPE_CHECKING:
    import numpy as np

    from export.tflite.quantization.search import Subject

__all__ = [
    "FORMATS",
    "LIBRARIES",
    "external_access",
    "inspect",
    "load",
    "read_contract",
    "write",
]

# Other kernels round otherwise: up to 5 of 256 steps lie between what XNNPACK's and TensorFlow Lite
# Micro's make of MNIST's 10,000 test images. This is more than twice that; a wrong input is off by
# far more.
KERNELS_DIFFER = 0.05
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
    """How numbers come in and go out, and how much is tried.

    Attributes:
        io: of pixels and probabilities; the layers compute in int8 anyway.
        max_tries: ways to quantise that are tried until one holds the gate on validation images;
            1 quantises every layer and leaves it at that.
        metadata: what the file carries besides its numbers: `full` is the contract, standard
            metadata and labels that other tools read, and each tensor's name; `compact` the
            contract alone, deflated, which saves about 4 kB.
    """

    io: Io = "uint8"
    max_tries: Annotated[int, Field(ge=1, le=7)] = 5
    metadata: Literal["full", "compact"] = "full"

    @property
    def input_type(self) -> TensorType:
        return INPUT_TYPES[self.io]

    @property
    def output_type(self) -> TensorType:
        return OUTPUT_TYPES[self.io]

    @property
    def probability_step(self) -> float:
        """Of the softmax in int8, also where what it gives is then stored in float32."""
        return 1 / 256


class Int4Options(Int8Options):
    """As those of int8.

    Attributes:
        rounding: which scale 4-bit kernels get: `min_max` that which holds the largest weight,
            `octav` that whose error is least.
    """

    rounding: Rounding = "octav"


INT8 = Holds(kernels=("int8",), activations=("int8",), biases=("int32",), is_per_channel=True)
INT4 = Holds(
    kernels=("int4", "int8"), activations=("int8",), biases=("int32",), is_per_channel=True
)


def _format(
    name: str, options: type[FormatOptions], holds: Holds, targets: tuple[str, ...]
) -> Format:
    return Format(
        name,
        f"{name}.tflite",
        LOSES_LITTLE,
        options,
        child="tflite_quantized",
        needs=("tflite_float32",),
        batch=1,
        tolerance=KERNELS_DIFFER,
        holds=holds,
        targets=targets,
    )


# TensorFlow Lite Micro has no fully connected layer with 4-bit kernels of a scale a channel.
WITH_LITERT = ("android", "ios", "browser", "server")
LIBRARIES = (*float_exporter.LIBRARIES, "tflite-micro")
FORMATS = (
    _format("tflite_int8", Int8Options, INT8, ("microcontroller", *WITH_LITERT)),
    _format("tflite_int4", Int4Options, INT4, WITH_LITERT),
)


def write(request: ExportRequest) -> None:
    from export.tflite.complete import compact
    from export.tflite.quantization.search import search

    subject = _subject(request)
    whole = request.format_name == "tflite_int8" and request.materials.percentile is None
    outcome = search(
        subject,
        request.options["max_tries"],
        partial(_by_tensorflow, request) if whole else None,
    )
    model = outcome.model
    if request.options["metadata"] == "compact":
        model = compact(model, request.materials.contract, outcome.attempts[outcome.chosen].kept)
    request.path.write_bytes(model)
    made = outcome.record()
    stored_as, pixels = request.promised.input.type, subject.images
    is_other = stored_as.decode(stored_as.encode(pixels)) != pixels
    made["input_pixels_clipped"] = float(is_other.mean())
    quantization_json.note(made, request.materials.workspace, request.format_name)


def _subject(request: ExportRequest) -> "Subject":
    import numpy as np

    from export.tflite.complete import complete
    from export.tflite.quantization import quantize, ranges
    from export.tflite.quantization.search import Subject

    materials, options = request.materials, request.options
    images, labels = validation_images(request)
    prepared = quantize.prepare(request.needs["tflite_float32"].read_bytes())
    weights: Literal["int4", "int8"] = "int4" if request.format_name == "tflite_int4" else "int8"
    observed = ranges.observe(prepared, np.load(materials.calibration), materials.percentile)
    if materials.percentile is None:
        observed = ranges.with_learnt(observed, prepared, materials.model.parent)
    return Subject(
        prepared,
        observed,
        Recipe(weights, options.get("rounding", "min_max"), options["io"]),
        images,
        labels,
        request.max_accuracy_drop_points,
        lambda model: complete(model, materials.contract),
    )


def _by_tensorflow(request: ExportRequest, recipe: Recipe) -> bytes:
    """Quantises every layer, or fails; TensorFlow's converter knows more operators in int8."""
    import tensorflow as tf

    converter = optimizing_converter(request, recipe.dense_scales)
    converter.representative_dataset = lambda: representative(request.materials.calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    io = tf.dtypes.as_dtype(request.options["io"])
    converter.inference_input_type = converter.inference_output_type = io
    converted: Any = converter.convert()
    return bytes(converted)


def representative(calibration: Path) -> Iterator[list["np.ndarray"]]:
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
