"""Every way in which a file is known not to be what it is called, each made for real.

A maker gets the shared network in all formats, and writes the file at `path`.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from export.formats import contract
from export.saved_model.exporter import CONTRACT
from tests.export import mislabelled_onnx as onnx
from tests.export import mislabelled_tflite as tflite

ANSWERS = ("same predictions", "probabilities")


@dataclass(frozen=True)
class Kind:
    """One way in which a file is not what it is called.

    Attributes:
        called: the format.
        make: writes the file.
        check: what finds out: a check of the audit, or one of ANSWERS where no file can tell.
        finding: what its reason says.
        options: of the format.
    """

    called: str
    make: Callable[[Any, Path], None]
    check: str
    finding: str
    options: Mapping[str, Any] = field(default_factory=dict)


def copy_of(name):
    """The shared network in another format, under this one's name."""
    return lambda exported, path: shutil.copy(exported.path(name), path)


def with_swapped_labels_beside(exported, path):
    shutil.copy(exported.path("tflite_float32"), path)
    labels = path.with_name("labels.txt")
    first, second, *rest = labels.read_text("utf-8").splitlines(keepends=True)
    labels.write_text("".join([second, first, *rest]), "utf-8")


def with_another_promise_beside(exported, path):
    """A `contract.json` that promises float32 of a file which takes uint8."""
    shutil.copy(exported.path("tflite_int8"), path)
    float32 = exported.contract.formats["tflite_float32"]
    entry = replace(float32, file="tflite_int8.tflite")
    other = replace(exported.contract, formats={**exported.contract.formats, "tflite_int8": entry})
    contract.write(other, path.parent)


def with_another_release_beside(exported, path):
    shutil.copy(exported.path("tflite_int8"), path)
    other = contract.running_from(exported.contract, {"tflite_int8": "TFLite 1.5.0"})
    contract.write(other, path.parent)


def saved(function):
    def make(exported, path):
        shape = exported.contract.input.shape
        archive = keras.export.ExportArchive()
        archive.track(exported.model)
        archive.add_endpoint(
            "serving_default",
            lambda image: {"probabilities": function(exported.model, image)},
            input_signature=[tf.TensorSpec((None, *shape), tf.float32, name="image")],
        )
        archive.write_out(path / "1", verbose=False)
        (path / CONTRACT).parent.mkdir()
        (path / CONTRACT).write_text(contract.to_json(exported.contract), "utf-8")

    return make


def saved_with_another_contract(exported, path):
    shutil.copytree(exported.path("saved_model"), path)
    other = replace(exported.contract, model_key="2" * 16)
    (path / CONTRACT).write_text(contract.to_json(other), "utf-8")


FLOAT_IO = {"io": "float32"}

KINDS = {
    "float32 called int8": Kind(
        "tflite_int8", copy_of("tflite_float32"), "weights", "is float32", FLOAT_IO
    ),
    "float16 called int8": Kind(
        "tflite_int8", copy_of("tflite_float16"), "weights", "is float16", FLOAT_IO
    ),
    "dynamic range called int8": Kind(
        "tflite_int8", copy_of("tflite_dynamic"), "computation", "computes in float32", FLOAT_IO
    ),
    "float16 called float32": Kind(
        "tflite_float32", copy_of("tflite_float16"), "weights", "is float16"
    ),
    "float32 called float16": Kind(
        "tflite_float16", copy_of("tflite_float32"), "weights", "is float32"
    ),
    "float32 called dynamic range": Kind(
        "tflite_dynamic", copy_of("tflite_float32"), "weights", "is float32"
    ),
    "int8 called dynamic range": Kind(
        "tflite_dynamic", copy_of("tflite_int8"), "computation", "computes in int8"
    ),
    "int8 called float32": Kind("tflite_float32", copy_of("tflite_int8"), "weights", "is int8"),
    "int8 called int4": Kind("tflite_int4", copy_of("tflite_int8"), "weights", "no kernel is int4"),
    "int4 called int8": Kind("tflite_int8", copy_of("tflite_int4"), "weights", "is int4"),
    "int8 with float ends where uint8 is promised": Kind(
        "tflite_int8",
        tflite.quantised(inference_input_type=tf.float32, inference_output_type=tf.float32),
        "input and output",
        "dtype float32, expected dtype uint8",
    ),
    "int8 with one scale for all channels": Kind(
        "tflite_int8",
        tflite.quantised(_experimental_disable_per_channel=True),
        "weights",
        "8 channels share 1 scales",
    ),
    "int8 with a layer in float that nobody declared": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.compute_softmax_in_float),
        "computation",
        "SOFTMAX softmax_float computes in float32",
    ),
    "output scale doubled": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.double_output_scale),
        "input and output",
        "scale 0.0078125",
    ),
    "input zero point moved": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.move_input_zero_point),
        "input and output",
        "zero point 3",
    ),
    "height and width swapped": Kind(
        "tflite_float32",
        tflite.edited("tflite_float32", tflite.swap_height_and_width),
        "input and output",
        "(1, 10, 12, 1)",
    ),
    "any batch where one image is promised": Kind(
        "tflite_float32",
        tflite.converted(lambda model, image: model(image), batch=None),
        "input and output",
        "('N', 12, 10, 1)",
    ),
    "shapes computed in a file of fixed shapes": Kind(
        "tflite_float32", tflite.any_batch_called_1, "fixed shapes", "computes a shape"
    ),
    "an operator that only TensorFlow has": Kind(
        "tflite_float32",
        tflite.converted(tflite.use_cumprod, **tflite.FLEX),
        "operators",
        "FlexCumprod",
    ),
    "an operator that no runtime has": Kind(
        "tflite_float32",
        tflite.converted(tflite.use_cumprod, allow_custom_ops=True),
        "operators",
        "is custom",
    ),
    "weights that nothing reads, in TFLite": Kind(
        "tflite_float32",
        tflite.edited("tflite_float32", tflite.add_unused_weights),
        "nothing unused",
        "ballast leads nowhere",
    ),
    "labels.txt with two labels swapped": Kind(
        "tflite_float32", with_swapped_labels_beside, "labels", "the labels.txt beside it"
    ),
    "labels swapped inside the TFLite file": Kind(
        "tflite_int8",
        tflite.with_swapped_labels_at_its_end,
        "labels",
        "its own labels.txt lists others",
    ),
    "labels swapped in the contract inside": Kind(
        "tflite_float32",
        tflite.carrying("tflite_float32", swap_labels=True),
        "contract",
        "another output",
    ),
    "metadata that scales the pixels once more": Kind(
        "tflite_float32",
        tflite.edited("tflite_float32", tflite.divide_by_127_in_metadata),
        "contract",
        "says something else in TFLITE_METADATA",
    ),
    "contract of another model, in TFLite": Kind(
        "tflite_int8",
        tflite.carrying("tflite_int8", model_key="2" * 16),
        "contract",
        "another model_key",
    ),
    "contract of another model, in SavedModel": Kind(
        "saved_model", saved_with_another_contract, "contract", "another model_key"
    ),
    "contract of other data, in ONNX": Kind(
        "onnx", onnx.edited("onnx", onnx.other_contract), "contract", "another data_key"
    ),
    "no contract": Kind(
        "onnx", onnx.edited("onnx", onnx.no_contract), "contract", "carries no evenkeel.contract"
    ),
    "contract.json that promises other numbers": Kind(
        "tflite_int8", with_another_promise_beside, "contract", "promises another input or output"
    ),
    "QUANTIZE called ADD in the older field": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.with_code("QUANTIZE", deprecatedBuiltinCode=0)),
        "operator codes",
        "deprecated_builtin_code 0 for QUANTIZE, not 114",
    ),
    "a convolution named in the older field alone": Kind(
        "tflite_float32",
        tflite.edited("tflite_float32", tflite.with_code("CONV_2D", builtinCode=0)),
        "operator codes",
        "builtin_code 0 for CONV_2D",
    ),
    "two operators in one entry": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.with_code("QUANTIZE", builtinCode=6)),
        "operator codes",
        "builtin_code 6 for QUANTIZE",
    ),
    "a newer operator without 127 in the older field": Kind(
        "tflite_float32",
        tflite.gelu_without_its_placeholder,
        "operator codes",
        "deprecated_builtin_code 0 for GELU, not 127",
    ),
    "every operator of int8 in its first version": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.as_if_all_were_the_first_version),
        "operator codes",
        "version 1 for CONV_2D, not 3",
    ),
    "4-bit kernels in the version of 8 bits": Kind(
        "tflite_int4",
        tflite.edited("tflite_int4", tflite.with_code("CONV_2D", version=3)),
        "operator codes",
        "version 3 for CONV_2D, not 7",
    ),
    "dynamic range in the version of float32": Kind(
        "tflite_dynamic",
        tflite.edited("tflite_dynamic", tflite.with_code("FULLY_CONNECTED", version=1)),
        "operator codes",
        "version 1 for FULLY_CONNECTED",
    ),
    "float16 weights in a version that cannot have them": Kind(
        "tflite_float16",
        tflite.edited("tflite_float16", tflite.with_code("DEQUANTIZE", version=2)),
        "operator codes",
        "version 2 for DEQUANTIZE, not 3",
    ),
    "a version that no runtime has yet": Kind(
        "tflite_float32",
        tflite.edited("tflite_float32", tflite.with_code("CONV_2D", version=99)),
        "operator codes",
        "version 99 for CONV_2D, not 1",
    ),
    "no least release": Kind(
        "tflite_int8",
        tflite.edited("tflite_int8", tflite.state_no_release),
        "operator codes",
        "carries no min_runtime_version",
    ),
    "a least release before its operators": Kind(
        "tflite_float16",
        tflite.edited("tflite_float16", tflite.stating("1.5.0")),
        "operator codes",
        "runs from TFLite 1.5.0 on",
    ),
    "a least release of another runtime": Kind(
        "tflite_float32",
        tflite.edited("tflite_float32", tflite.stating("LiteRT 2")),
        "operator codes",
        "runs from TFLite LiteRT 2 on",
    ),
    "a scale a channel in releases that read one": Kind(
        "tflite_int8",
        tflite.a_scale_a_channel_from_the_first_release_on,
        "operator codes",
        "runs from TFLite 1.14.0 on, its operators do from 2.10.0",
    ),
    "constants beyond the end of the file": Kind(
        "tflite_int8", tflite.constants_beyond_the_end, "can be read", "a constant is to stand at"
    ),
    "contract.json with another least release": Kind(
        "tflite_int8",
        with_another_release_beside,
        "contract",
        "says that it runs from TFLite 1.5.0 on",
    ),
    "half a file": Kind("tflite_int8", tflite.half_a_file, "can be read", "reading it raised"),
    "float32 called int8, in ONNX": Kind("onnx_int8", copy_of("onnx"), "weights", "is float32"),
    "int8 called float32, in ONNX": Kind("onnx", copy_of("onnx_int8"), "weights", "is int8"),
    "quantised as it runs, called int8, in ONNX": Kind(
        "onnx_int8", onnx.quantised_as_it_runs, "weights", "share 0 scales"
    ),
    "one image where any batch is promised": Kind(
        "onnx", onnx.edited("onnx", onnx.fix_batch), "input and output", "(1, 12, 10, 1)"
    ),
    "any batch where one image is promised, in ONNX": Kind(
        "onnx", copy_of("onnx"), "input and output", "('N', 12, 10, 1)", {"batch": 1}
    ),
    "channels last where channels first is promised": Kind(
        "onnx_int8",
        copy_of("onnx_int8"),
        "input and output",
        "('N', 12, 10, 1)",
        {"layout": "nchw"},
    ),
    "channels first, but not said": Kind(
        "onnx",
        onnx.edited("onnx", onnx.carry_no_denotations),
        "input and output",
        "layout NHWC, expected layout NCHW",
        {"layout": "nchw"},
    ),
    "channels first": Kind(
        "onnx",
        onnx.edited("onnx", onnx.take_channels_first),
        "input and output",
        "('N', 1, 12, 10)",
    ),
    "another opset": Kind("onnx", onnx.edited("onnx", onnx.older_opset), "opset", "opset 16"),
    "dropout left on, in ONNX": Kind(
        "onnx",
        onnx.edited("onnx", onnx.leave_dropout_on),
        "operators",
        "Dropout dropped is for training",
    ),
    "dropout left on, in SavedModel": Kind(
        "saved_model",
        saved(lambda model, image: model(image, training=True)),
        "operators",
        "is for training",
    ),
    "weights that nothing reads, in ONNX": Kind(
        "onnx",
        onnx.edited("onnx", onnx.add_onnx_ballast),
        "nothing unused",
        "ballast leads nowhere",
    ),
    "an operator of one runtime alone": Kind(
        "onnx",
        onnx.edited("onnx", onnx.use_an_operator_of_one_runtime),
        "operators",
        "com.microsoft",
    ),
    "logits called probabilities": Kind(
        "onnx", onnx.edited("onnx", onnx.give_logits), "probabilities", "must be a softmax"
    ),
    "pixels scaled twice": Kind(
        "tflite_float32",
        tflite.converted(tflite.scale_twice),
        "same predictions",
        "another class than Keras",
    ),
    "two classes swapped in the answers": Kind(
        "tflite_float32",
        tflite.converted(tflite.swap_classes),
        "same predictions",
        "another class than Keras",
    ),
}
