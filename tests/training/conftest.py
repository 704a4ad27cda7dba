"""A tiny network, and images that it can learn."""

import keras
import numpy as np
import pytest

from pipeline.config import DataSection, ExportSection, ModelSection, PipelineConfig, TrainSection
from pipeline.sources import LabelledImages
from pipeline.training.fitting import Splits

CLASSES = 3


@pytest.fixture
def make_config():
    def make(**train):
        return PipelineConfig(
            name="test",
            data=DataSection(source="idx"),
            model=ModelSection(preset="two_conv"),
            train=TrainSection(**train),
            export=ExportSection(formats=("onnx",)),
        )

    return make


@pytest.fixture
def tiny_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1), name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax", dtype="float32"),
        ]
    )


def labelled(count, seed):
    """Images whose class is the pair of rows that is bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 100, (count, 6, 6, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 150
    return LabelledImages(images, labels)


@pytest.fixture
def splits():
    """60 training and 30 validation images."""
    return Splits(labelled(60, seed=1), labelled(30, seed=2), CLASSES)
