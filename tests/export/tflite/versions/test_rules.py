"""Versions of operators, against those that TensorFlow's own converter writes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_sparsify

from export.formats.format import formats
from export.keras_files.saved_model_writer import write_saved_model
from export.tflite.flatbuffer import attach, attached, operator_name, parse
from export.tflite.pack import pack
from export.tflite.quantization import quantize, ranges
from export.tflite.quantization.recipe import Recipe
from export.tflite.versions import operator_codes
from tests.export import float_models

NAMES = [name for name in formats() if name.startswith("tflite")]


def asked(content):
    """The list of operators of a file, and the least release that it states."""
    model = parse(content)
    codes = {
        operator_name(code): (code.deprecatedBuiltinCode, code.builtinCode, code.version)
        for code in model.operatorCodes
    }
    return codes, attached(model, operator_codes.LEAST_RUNTIME).rstrip(b"\0").decode()


def settled(content):
    """The same after what a writer may get wrong is wrong, and `settle` has run."""
    model = parse(content)
    for code in model.operatorCodes:
        code.builtinCode, code.deprecatedBuiltinCode, code.version = (
            operator_codes.code_of(code),
            0,
            1,
        )
    model.metadata = []
    operator_codes.settle(model)
    return pack(model)


def every_layer():
    """A network of as many operators as one can have."""
    layers, image = keras.layers, keras.Input((12, 12, 4), name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu6")(x)
    x = layers.Concatenate()([layers.Conv2D(8, 3, groups=2, padding="same")(x), x])
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(x)
    x = layers.Add()([x, layers.Conv2D(16, 1, activation="sigmoid")(x)])
    x = layers.Multiply()([x, layers.LeakyReLU()(x)])
    x = layers.Subtract()([x, layers.Activation("tanh")(x)])
    x = layers.Maximum()([x, layers.ELU()(x)])
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2DTranspose(4, 3, strides=2)(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(layers.UpSampling2D(2)(x))
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.Permute((2, 1, 3))(layers.Cropping2D(1)(x))
    x = layers.LayerNormalization()(x)
    x = layers.Activation("gelu")(layers.PReLU()(x))
    x = layers.Reshape((-1, 4))(x)
    x = layers.MultiHeadAttention(2, 2)(x, x)
    x = layers.GlobalAveragePooling1D()(layers.Dense(6)(x))
    x = layers.Dense(40, use_bias=False)(layers.Activation("exponential")(x))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def recurrent():
    image = keras.Input((12, 12, 4), name="image")
    x = keras.layers.Reshape((12, 48))(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Bidirectional(keras.layers.GRU(32))(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))


@pytest.fixture(scope="module")
def converters(tmp_path_factory):
    keras.utils.set_random_seed(0)
    made = {}
    for model in (every_layer(), recurrent()):
        folder = tmp_path_factory.mktemp("model")
        write_saved_model(model, folder, batch=1)
        made[len(made)] = folder
    return dict(zip((every_layer.__name__, recurrent.__name__), made.values(), strict=True))


IMAGES = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 4)).astype(np.float32)
DEFAULT = [tf.lite.Optimize.DEFAULT]
ONE_SCALE = "_experimental_disable_per_channel_quantization_for_dense_layers"
INT8 = {
    "optimizations": DEFAULT,
    "representative_dataset": lambda: ([image[None]] for image in IMAGES),
}
SETTINGS = {
    "float32": {},
    "float16": {
        "optimizations": DEFAULT,
        "target_spec": tf.lite.TargetSpec(supported_types=[tf.float16]),
    },
    "dynamic": {"optimizations": DEFAULT},
    "dynamic, one scale a dense kernel": {"optimizations": DEFAULT, ONE_SCALE: True},
    "int8": INT8,
    "int8, uint8 ends": {
        **INT8,
        "inference_input_type": tf.uint8,
        "inference_output_type": tf.uint8,
    },
}


@pytest.mark.parametrize("network", ["every_layer", "recurrent"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_codes_versions_and_release_are_those_that_tensorflow_writes(converters, network, settings):
    if network == "recurrent" and "representative_dataset" in settings:
        pytest.skip("TensorFlow's converter does not calibrate loops")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(converters[network]))
    for name, value in settings.items():
        setattr(converter, name, value)
    written = converter.convert()
    assert asked(settled(written)) == asked(written)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tflite_int4"])
def test_every_file_asks_for_what_tensorflow_asks_for_when_it_rewrites_it(exported, name):
    content = exported.path(name).read_bytes()
    assert asked(content) == asked(mlir_sparsify(content))


def test_a_file_of_4_bits_asks_for_the_first_release_that_multiplies_by_them(exported):
    """TensorFlow's converter gives up on 4 bits; these are its table's rows for them."""
    codes, release = asked(exported.path("tflite_int4").read_bytes())
    assert codes["CONV_2D"] == (3, 3, 7)
    assert codes["FULLY_CONNECTED"] == (9, 9, 10)
    assert codes["QUANTIZE"] == (114, 114, 1)
    assert release == "2.11.0"


def test_a_layer_kept_in_16_bits_asks_for_the_release_that_multiplies_by_them(tmp_path):
    """TensorFlow's converter stores its bias anew; these are its table's rows as it is."""
    _, prepared = float_models.prepared(
        tmp_path, keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Softmax()
    )
    observed = ranges.observe(prepared, float_models.images(4))
    kept = tuple(float_models.names(prepared, "CONV_2D"))
    recipe = Recipe(io="int8", kept=kept, kept_in="int16")
    codes, release = asked(settled(quantize.quantize(prepared, observed, recipe)))
    assert codes["QUANTIZE"] == (114, 114, 2)
    assert codes["CONV_2D"] == (3, 3, 1)
    assert release == "2.3.0"


def test_of_an_operator_without_a_rule_the_converter_s_own_word_stands(exported):
    """Each has had versions that no rule here tells apart, or is not TFLite's own."""
    model = parse(exported.path("tflite_float32").read_bytes())
    (graph,) = model.subgraphs
    for name, custom, version in (("SQRT", None, 2), ("SVDF", None, 3), ("CUSTOM", b"Mine", 7)):
        code, step = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.customCode, code.version = custom, version
        step.opcodeIndex, step.inputs, step.outputs = len(model.operatorCodes), [0], [0]
        model.operatorCodes.append(code)
        graph.operators.append(step)
    attach(model, operator_codes.LEAST_RUNTIME, b"2.22.0")
    operator_codes.settle(model)
    assert [code.version for code in model.operatorCodes[-3:]] == [2, 3, 7]
    # SQRT's second version came with 2.21; of SVDF's third the table knows nothing.
    assert operator_codes.runs_from(model) == "TFLite 2.22.0"
    assert list(operator_codes.wrong(model)) == []


def test_a_version_is_never_lowered_and_one_too_high_is_told(exported):
    """As a newer converter may write one that the rules here do not know yet."""
    model = parse(exported.path("tflite_float32").read_bytes())
    (entry,) = (code for code in model.operatorCodes if operator_name(code) == "CONV_2D")
    entry.version = 9
    operator_codes.settle(model)
    assert entry.version == 9
    assert "has version 9 for CONV_2D, not 1" in list(operator_codes.wrong(model))


def test_a_release_before_that_of_a_known_operator_is_told_beside_an_unknown_one(exported):
    model = parse(exported.path("tflite_int8").read_bytes())
    code, step = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SVDF
    step.opcodeIndex, step.inputs, step.outputs = len(model.operatorCodes), [0], [0]
    model.operatorCodes.append(code)
    model.subgraphs[0].operators.append(step)
    attach(model, operator_codes.LEAST_RUNTIME, b"1.5.0")
    (told,) = operator_codes.wrong(model)
    assert told == "says that it runs from TFLite 1.5.0 on, its operators do from 1.14.0"
