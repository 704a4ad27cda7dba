import keras
import numpy as np
import pytest

from export.tflite.flatbuffer import (
    dtype_of,
    operators,
    parse,
    real,
    stored,
    tensors_by_name,
    unread_outputs,
)
from export.tflite.int_exporter import INPUT_TYPES, OUTPUT_TYPES
from export.tflite.interpreter import Run
from export.tflite.quantization import quantize as recipes
from export.tflite.quantization import ranges
from export.tflite.quantization.quantize import left_in_float, quantize
from export.tflite.quantization.recipe import Recipe
from tests.export import float_models


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model, prepared = float_models.prepared(
        tmp_path_factory.mktemp("network"),
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, activation="relu"),
        layers.DepthwiseConv2D(3),
        layers.Flatten(),
        layers.Dense(16),
        layers.Dense(3),
        layers.Softmax(),
    )
    images = float_models.images(30)
    return model, prepared, images, ranges.observe(prepared, images)


@pytest.mark.parametrize("io", ["uint8", "int8", "float32"])
def test_the_ends_are_exactly_as_promised(network, io):
    _, prepared, _, observed = network
    (graph,) = parse(quantize(prepared, observed, Recipe(io=io))).subgraphs
    run = Run(quantize(prepared, observed, Recipe(io=io)))
    assert run.type(graph.inputs[0]) == INPUT_TYPES[io]
    assert run.type(graph.outputs[0]) == OUTPUT_TYPES[io]


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_a_quantised_model_answers_nearly_as_keras_does(network, weights):
    model, prepared, images, observed = network
    found = Run(quantize(prepared, observed, Recipe(weights))).probabilities(images)
    keras_answers = model.predict(images, verbose=0)
    assert np.abs(found - keras_answers).max() < {"int8": 0.02, "int4": 0.15}[weights]


def test_kernels_have_4_bits_where_litert_runs_them_so(network):
    _, prepared, _, observed = network
    model = parse(quantize(prepared, observed, Recipe("int4")))
    kernels = {
        operator.kind: dtype_of(model.subgraphs[0].tensors[operator.constant])
        for operator in operators(model)
        if operator.constant is not None
    }
    assert kernels == {"CONV_2D": "int4", "DEPTHWISE_CONV_2D": "int8", "FULLY_CONNECTED": "int4"}


@pytest.mark.parametrize("rounding", ["min_max", "octav"])
def test_4_bit_kernels_are_read_back_as_the_numbers_that_they_stand_for(network, rounding):
    _, prepared, _, observed = network
    before = parse(prepared)
    after = parse(quantize(prepared, observed, Recipe("int4", rounding)))
    name = float_models.names(prepared, "FULLY_CONNECTED")[0]
    (layer,) = [operator for operator in operators(before) if operator.name == name]
    tensor = before.subgraphs[0].tensors[layer.constant]
    found = tensors_by_name(after)[tensor.name.decode()]
    exact, numbers = real(before, tensor), stored(after, found)
    assert (numbers.min(), numbers.max()) == (-7, 7)
    assert numbers.dtype == np.int8
    errors = np.abs(real(after, found) - exact)
    half_steps = np.asarray(found.quantization.scale)[:, None] / 2
    # Where nothing is clipped no number is further away than half a step.
    inside = np.abs(exact) <= 14 * half_steps
    assert (errors <= half_steps * 1.001)[inside].all()
    reach = 7 * np.asarray(found.quantization.scale)
    assert (reach < 0.99 * np.abs(exact).max(axis=1)).any() == (rounding == "octav")


def test_layers_that_are_kept_compute_as_asked(network):
    _, prepared, _, observed = network
    (convolution,) = float_models.names(prepared, "DEPTHWISE_CONV_2D")
    whole = quantize(prepared, observed, Recipe())
    assert left_in_float(whole) == ()
    in_float = quantize(prepared, observed, Recipe(kept=(convolution,)))
    assert left_in_float(in_float) == (convolution,)
    in_16_bits = quantize(prepared, observed, Recipe(kept=(convolution,), kept_in="int16"))
    assert left_in_float(in_16_bits) == ()
    found = tensors_by_name(parse(in_16_bits))
    assert dtype_of(found[convolution]) == "int16"
    assert [n for n, t in found.items() if dtype_of(t) == "int16" and "quantized" not in n] == [
        convolution
    ]


def test_one_layer_alone_can_be_quantised(network):
    _, prepared, _, observed = network
    every = {o.name for o in operators(parse(prepared))}
    (convolution,) = float_models.names(prepared, "CONV_2D")
    alone = quantize(prepared, observed, Recipe(only=(convolution,), io="float32"))
    assert set(left_in_float(alone)) == every - {convolution}


def test_what_is_prepared_has_no_notes_left_from_the_float_file(exported):
    original = exported.path("tflite_float32").read_bytes()
    prepared = recipes.prepare(original)
    assert b"evenkeel.contract" in original
    assert b"evenkeel.contract" not in prepared
    assert len(prepared) < len(original) - len(exported.materials.contract)
    np.testing.assert_array_equal(
        Run(prepared).probabilities(exported.images), Run(original).probabilities(exported.images)
    )


def test_a_comparison_of_real_numbers_computes_in_float_though_it_gives_none(tmp_path):
    keras.utils.set_random_seed(0)
    layers = (keras.layers.Conv2D(2, 7, activation="hard_shrink"), keras.layers.Flatten())
    _, prepared = float_models.prepared(tmp_path, *layers, keras.layers.Dense(3))
    observed = ranges.observe(prepared, float_models.images(5))
    quantized = quantize(prepared, observed, Recipe())
    comparisons = float_models.names(quantized, "GREATER")
    assert comparisons
    assert set(comparisons) <= set(left_in_float(quantized))


@pytest.mark.parametrize("read", [0, 1])
def test_what_an_operator_gives_and_nothing_reads_is_quantised_with_the_rest(tmp_path, read):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model, prepared = float_models.prepared(
        tmp_path,
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3),
        layers.Lambda(lambda x: keras.ops.split(x, 2, axis=-1)[read]),
        layers.Flatten(),
        layers.Dense(3),
        layers.Softmax(),
    )
    assert len(list(unread_outputs(parse(prepared)))) == 1
    images = float_models.images(30)
    made = quantize(prepared, ranges.observe(prepared, images), Recipe())
    found = Run(made).probabilities(images)
    assert np.abs(found - model.predict(images, verbose=0)).max() < 0.02


def test_places_that_nothing_reads_stay_whole_numbers(tmp_path):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model, prepared = float_models.prepared(
        tmp_path,
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Lambda(lambda x: keras.ops.top_k(x, 40, sorted=True)[0]),
        layers.Dense(3),
        layers.Softmax(),
    )
    images = float_models.images(30)
    observed, expected = ranges.observe(prepared, images), model.predict(images, verbose=0)
    for weights in ("int8", "int4"):
        found = Run(quantize(prepared, observed, Recipe(weights, "octav"))).probabilities(images)
        assert np.abs(found - expected).max() < 0.05, weights
