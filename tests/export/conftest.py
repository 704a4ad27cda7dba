"""One small network, written once in every format for all tests of this folder."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from export.formats import ExportRequest, exporter, formats, with_needed

SHAPE, CLASSES = (12, 10, 1), 4


@dataclass(frozen=True)
class Exported:
    model: keras.Model
    images: np.ndarray
    folder: Path
    workspace: Path

    def path(self, name):
        return self.folder / formats()[name].path

    def request(self, name, folder=None):
        return ExportRequest(
            format_name=name,
            model=self.workspace / "model.keras",
            folder=folder or self.folder,
            calibration=self.workspace / "calibration.npy",
            promised=formats()[name].interface(SHAPE, CLASSES),
            workspace=self.workspace,
            options=formats()[name].options().model_dump(),
            needs={need: self.path(need) for need in formats()[name].needs},
        )


def build_network(policy="float32"):
    layers = keras.layers
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    try:
        return keras.Sequential(
            [
                keras.Input(SHAPE, name="image"),
                layers.Rescaling(1 / 255),
                layers.Conv2D(8, 3, use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.MaxPooling2D(),
                layers.Dropout(0.5),
                layers.Flatten(),
                layers.Dense(16, activation="relu"),
                layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(0, 2)),
                layers.Activation("softmax", dtype="float32", name="probabilities"),
            ]
        )
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture
def small_network():
    return build_network


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """All formats of an untrained network; its pixels reach neither 0 nor 255."""
    folder, workspace = tmp_path_factory.mktemp("formats"), tmp_path_factory.mktemp("workspace")
    images = np.random.default_rng(0).integers(30, 200, (64, *SHAPE)).astype(np.uint8)
    np.save(workspace / "calibration.npy", images)
    model = build_network()
    model.save(workspace / "model.keras")
    result = Exported(model, images, folder, workspace)
    for name in with_needed(formats()):
        exporter(name).write(result.request(name))
    return result
