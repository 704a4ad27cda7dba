import keras
import numpy as np
import pytest

from export.tflite.flatbuffer import parse, text
from export.tflite.quantization import ranges
from export.tflite.quantization.quantize import OUTPUT_INSIDE
from tests.export import float_models


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    first = layers.Dense(16)
    _, prepared = float_models.prepared(
        tmp_path_factory.mktemp("dense"), layers.Flatten(), first, layers.Dense(3), layers.Softmax()
    )
    images = float_models.images(20)
    flat = images.reshape(20, -1).astype(np.float32)
    kernel, bias = first.get_weights()
    return prepared, images, flat @ kernel + bias


def test_ranges_reach_from_the_least_to_the_greatest_number_seen(dense):
    prepared, images, hidden = dense
    found = ranges.observe(prepared, images)[float_models.names(prepared, "FULLY_CONNECTED")[0]]
    assert (found.low, found.high) == pytest.approx((hidden.min(), hidden.max()), rel=1e-5)
    assert found.rank == 2


def test_percentiles_leave_out_as_much_of_each_tail(dense):
    prepared, images, hidden = dense
    observed = ranges.observe(prepared, images, percentile=95)
    found = observed[float_models.names(prepared, "FULLY_CONNECTED")[0]]
    expected = np.percentile(hidden, [5, 95])
    width = hidden.max() - hidden.min()
    assert (found.low, found.high) == pytest.approx(expected, abs=float(width) / 100)


def test_both_ends_are_what_the_contract_promises_whatever_was_seen(dense):
    prepared, images, _ = dense
    (graph,) = parse(prepared).subgraphs
    image = text(graph.tensors[graph.inputs[0]].name)
    for percentile in (None, 90):
        observed = ranges.observe(prepared, images // 2 + 50, percentile)
        assert (observed[image].low, observed[image].high) == (0, 255)
        assert observed[OUTPUT_INSIDE].high / 255 == 1 / 256


def test_each_range_holds_0(tmp_path):
    layers = keras.layers
    _, prepared = float_models.prepared(
        tmp_path,
        layers.Flatten(),
        layers.Dense(
            2, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(7)
        ),
        layers.Softmax(),
    )
    (name,) = float_models.names(prepared, "FULLY_CONNECTED")
    for percentile in (None, 99):
        found = ranges.observe(prepared, float_models.images(2), percentile)[name]
        assert found.low == 0
        assert found.high == pytest.approx(7, rel=1e-3)
