"""Models that a user might bring, and the images that they are made for."""

import keras
import numpy as np

from pipeline.data.images.types import LabelledImages

L = keras.layers
SHAPE, CLASSES = (8, 6, 1), ("a", "b", "c")
NET = """
import keras


@keras.saving.register_keras_serializable("shop")
class Net(keras.Model):
    def __init__(self, filters=4, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.first = keras.layers.Conv2D(filters, 3, activation="relu", dtype="mixed_float16")
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.last = keras.layers.Dense(3, activation="softmax", dtype="float32")

    def call(self, image):
        return self.last(self.pool(self.first(image / 255)))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}
"""
FORGETFUL = NET.replace(', "filters": self.filters}', "}")


def images(count=40):
    """The class is the third of the rows that is bright."""
    random = np.random.default_rng(7)
    labels = np.arange(count) % 3
    pixels = random.integers(0, 100, (count, *SHAPE)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label + 1 : 2 * label + 3] += 150
    return LabelledImages(pixels, labels)


def sequential(*head):
    keras.utils.set_random_seed(1)
    head = head or (L.Dense(3, activation="softmax"),)
    body = (L.Rescaling(1 / 255), L.Conv2D(4, 3), L.ReLU(), L.Flatten())
    return keras.Sequential([keras.Input(SHAPE), *body, *head])


def dense(weights):
    model = keras.Sequential([keras.Input(SHAPE), L.Flatten(), L.Dense(3, activation="softmax")])
    model.set_weights(weights)
    return model


BY_ROWS = np.zeros((8, 6, 3), np.float32)
for column in range(3):
    BY_ROWS[2 * column + 1 : 2 * column + 3, :, column] = 1
BY_ROWS = [BY_ROWS.reshape(48, 3), np.zeros(3, np.float32)]
