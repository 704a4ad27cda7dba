from dataclasses import astuple

import keras
import numpy as np
import pytest

from export.tflite.flatbuffer import operators, parse
from export.tflite.pack import pack
from export.tflite.quantization import ranges
from export.tflite.quantization.layer_errors import layer_errors, own_errors
from export.tflite.quantization.quantize import quantize
from export.tflite.quantization.ranges import Range
from export.tflite.quantization.recipe import Recipe
from tests.export import float_models


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(16)
    _, prepared = float_models.prepared(
        tmp_path_factory.mktemp("dense"),
        layers.Flatten(),
        hidden,
        layers.Dense(3),
        layers.Softmax(),
    )
    images = float_models.images(40)
    kernel, bias = hidden.get_weights()
    flat = images.reshape(40, -1).astype(np.float32)
    return prepared, images, kernel, flat @ kernel + bias


def first_dense(prepared, quantized, images):
    name = float_models.names(prepared, "FULLY_CONNECTED")[0]
    return next(e for e in layer_errors(prepared, quantized, images) if e.name == name)


@pytest.mark.parametrize(("weights", "most"), [("int8", 127), ("int4", 7)])
def test_weight_errors_are_those_of_rounding_to_the_greatest_of_a_channel(dense, weights, most):
    prepared, images, kernel, _ = dense
    quantized = quantize(prepared, ranges.observe(prepared, images), Recipe(weights))
    scale = np.abs(kernel).max(axis=0) / most
    rounded = np.rint(kernel / scale)
    noise = np.square(kernel - rounded * scale).sum()
    found = first_dense(prepared, quantized, images)
    expected = 10 * np.log10(np.square(kernel).sum() / noise)
    assert found.weight_sqnr_db == pytest.approx(expected, abs=0.01)
    assert found.weights_at_ends == pytest.approx((np.abs(rounded) == most).mean())
    assert (found.computes_in, found.weights_stored_in) == ("int8", weights)


def test_output_errors_and_clipping_follow_from_the_range(dense):
    prepared, images, _, hidden = dense
    name = float_models.names(prepared, "FULLY_CONNECTED")[0]
    low, high = hidden.min() / 2, hidden.max() / 2
    narrow = {**ranges.observe(prepared, images), name: Range(float(low), float(high), 2)}
    found = first_dense(prepared, quantize(prepared, narrow, Recipe()), images)
    step = (high - low) / 255
    beyond = (hidden < low - step) | (hidden > high + step)
    assert found.clipped == pytest.approx(beyond.mean(), abs=0.01)
    clipped = np.clip(hidden, low, high)
    expected = np.sqrt(np.square(clipped - hidden).sum() / np.square(hidden).sum())
    assert found.output_error == pytest.approx(expected, rel=0.05)


def test_all_layers_are_compared_and_nothing_clips_on_the_calibration_images(dense):
    prepared, images, _, _ = dense
    quantized = quantize(prepared, ranges.observe(prepared, images), Recipe())
    found = layer_errors(prepared, quantized, images)
    assert [e.kind for e in found] == ["RESHAPE", "FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX"]
    assert [e.clipped for e in found] == [0, 0, 0, 0]
    assert all(e.output_error < 0.02 for e in found[:-1])


def test_layers_in_float_have_next_to_no_error(dense):
    prepared, images, _, _ = dense
    assert all(e.output_error == 0 for e in layer_errors(prepared, prepared, images))


def test_the_layers_around_an_outlier_channel_cost_most(tmp_path):
    _, prepared = float_models.unbalanced(tmp_path)
    images = float_models.images(60)
    costs = own_errors(prepared, ranges.observe(prepared, images), Recipe(), images)
    harmless, loud = float_models.names(prepared, "CONV_2D")
    assert max(costs, key=costs.__getitem__) in (
        loud,
        *float_models.names(prepared, "RESHAPE"),
        *float_models.names(prepared, "FULLY_CONNECTED"),
    )
    assert costs[loud] > 10 * costs[harmless]


def test_a_layer_of_zeros_has_no_share_of_itself_as_its_error(dense):
    prepared, images, _, _ = dense
    model = parse(prepared)
    hidden = next(o for o in operators(model) if o.kind == "FULLY_CONNECTED")
    buffer = model.buffers[model.subgraphs[0].tensors[hidden.constant].buffer]
    buffer.data = np.zeros_like(buffer.data)
    found = first_dense(pack(model), prepared, images)
    assert found.output_error is None


def test_a_layer_that_divides_by_zero_gives_no_number_and_all_figures_are_numbers(tmp_path):
    layers = keras.layers
    _, prepared = float_models.prepared(
        tmp_path, layers.Flatten(), layers.UnitNormalization(), layers.Dense(3), layers.Softmax()
    )
    images = float_models.images(5)
    images[1] = images[3] = 0
    observed = ranges.observe(prepared, images)
    assert all(np.isfinite([r.low, r.high]).all() for r in observed.values())
    found = layer_errors(prepared, quantize(prepared, observed, Recipe()), images)
    *_, softmax = found
    assert (softmax.kind, softmax.images_without_number) == ("SOFTMAX", 2)
    figures = [x for error in found for x in astuple(error) if isinstance(x, float)]
    assert np.isfinite(figures).all()
    costs = own_errors(prepared, observed, Recipe(), images)
    assert np.isfinite([*costs.values()]).all()
