"""Files for one image that are asked about many at once."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export.formats.format import formats
from export.tflite import batching, pack
from export.tflite.flatbuffer import kind, parse, stored
from tests.export import float_models

NAMES = [name for name in formats() if name.startswith("tflite")]
L = keras.layers


def at_once(content, images):
    interpreter = Interpreter(model_content=content)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], images.astype(taken["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def one_by_one(content, images):
    return np.concatenate([at_once(content, images[i : i + 1]) for i in range(len(images))])


def shapes(content):
    model = parse(content)
    (graph,) = model.subgraphs
    return [
        stored(model, graph.tensors[step.inputs[1]]).tolist()
        for step in graph.operators
        if kind(model, step) == "RESHAPE"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_resized_to_50_images_answers_as_it_does_one_by_one(exported, name):
    content, images = exported.path(name).read_bytes(), exported.images[:50]
    assert shapes(content) == [[-1, 160]]
    given = at_once(content, images)
    assert given.shape == (50, 4)
    single = one_by_one(content, images)
    # A step of 1/256 where kernels for many images round otherwise.
    assert np.abs(given.astype(float) - single.astype(float)).max() <= (
        1 if "int" in name else 1e-5
    )


def freed(content):
    model = parse(content)
    batching.free(model)
    return pack.pack(model)


def attention():
    image = keras.Input(float_models.SHAPE, name="image")
    x = L.Rescaling(1 / 255)(L.ZeroPadding2D(2)(image))
    x = L.Reshape((9, 16))(L.Conv2D(16, 4, strides=4)(x))
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
    x = L.Concatenate()([L.GlobalAveragePooling1D()(x), L.GlobalMaxPooling1D()(x)])
    return keras.Model(image, L.Dense(3, activation="softmax")(x))


def test_a_network_that_moves_axes_and_reshapes_often_is_resized_too(tmp_path):
    _, prepared = float_models.prepared(tmp_path, *[attention()])
    content, images = freed(prepared), float_models.images(7)
    assert len(shapes(content)) > 3
    np.testing.assert_allclose(
        at_once(content, images), one_by_one(prepared, images), atol=1e-5, rtol=0
    )
    assert one_by_one(prepared, images).std(axis=0).max() > 0.01


def moved_and_back(x):
    """The converter makes a RESHAPE of a Transpose that moves an axis of one image alone."""
    moved = keras.ops.transpose(x, (1, 0, 2, 3))
    return keras.ops.transpose(keras.ops.softmax(moved), (1, 0, 2, 3))


def test_a_batch_that_is_moved_and_moved_back_is_no_obstacle(tmp_path):
    layers = L.Conv2D(2, 3), L.Lambda(moved_and_back), L.Flatten(), L.Dense(3), L.Softmax()
    _, prepared = float_models.prepared(tmp_path, *layers)
    images = float_models.images(7)
    np.testing.assert_allclose(
        at_once(freed(prepared), images), one_by_one(prepared, images), atol=1e-5, rtol=0
    )


def summed(x):
    return x + keras.ops.mean(x, axis=0)


def softmax_of_all(x):
    flat = keras.ops.softmax(keras.ops.reshape(x, (-1,)))
    return keras.ops.reshape(flat, (1, 6, 6, 2))


@pytest.mark.parametrize("mixing", [summed, softmax_of_all])
def test_where_images_are_mixed_a_file_keeps_to_one(tmp_path, mixing):
    layers = L.Conv2D(2, 3), L.Lambda(mixing), L.Flatten(), L.Dense(3), L.Softmax()
    _, prepared = float_models.prepared(tmp_path, *layers)
    assert shapes(freed(prepared)) == shapes(prepared)
    assert shapes(prepared)[-1] in ([1, 72], [-1])


def test_a_constant_that_something_else_reads_too_stays(exported):
    content = exported.path("tflite_float32").read_bytes()
    model = parse(content)
    (graph,) = model.subgraphs
    reshape = next(step for step in graph.operators if kind(model, step) == "RESHAPE")
    shape = graph.tensors[reshape.inputs[1]]
    shape.name, other = "shape", type(shape)()
    other.__dict__.update(shape.__dict__)
    other.name = "other"
    graph.tensors.append(other)
    model.buffers[shape.buffer].data = np.array([1, 160], np.int32).view(np.uint8)
    batching.free(model)
    assert stored(model, shape).tolist() == [-1, 160]
    assert stored(model, other).tolist() == [1, 160]
