"""Small float32 TFLite models for the tests of quantisation, from Keras layers."""

import keras
import numpy as np

from export.keras_files.saved_model_writer import write_saved_model
from export.tflite.flatbuffer import operators, parse
from export.tflite.quantization import quantize

SHAPE = (8, 8, 1)


def prepared(folder, *layers):
    """The Keras model, and what `recipes.prepare` makes of it."""
    import tensorflow as tf

    model = keras.Sequential([keras.Input(SHAPE, name="image"), *layers])
    write_saved_model(model, folder / "saved_model", batch=1)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
    return model, quantize.prepare(converter.convert())


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def names(model, kind):
    return [operator.name for operator in operators(parse(model)) if operator.kind == kind]


def unbalanced(folder):
    """One channel of the second convolution is 3,000 times the others, and no layer listens to it.

    8 bits that reach to its end leave the other channels next to nothing.
    """
    keras.utils.set_random_seed(5)
    layers = keras.layers
    loud = layers.Conv2D(6, 2, activation="relu")
    last = layers.Dense(4)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 7, activation="relu"),  # more than half of all numbers in kernels
            loud,
            layers.Flatten(),
            last,
            layers.Softmax(),
        ]
    )
    kernel, bias = loud.get_weights()
    kernel[..., 0] = np.abs(kernel[..., 0]) * 3000
    loud.set_weights([kernel, bias])
    weights, bias = last.get_weights()
    weights[0::6] = 0
    last.set_weights([5 * weights, bias])
    return prepared(folder, *model.layers)
