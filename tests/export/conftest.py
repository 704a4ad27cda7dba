"""One small network, written once in every format for all tests of this folder."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from export.formats import contract, failures
from export.formats.format import ExportRequest, Materials, exporter, formats, with_needed

SHAPE, LABELS = (12, 10, 1), ("ein", "zwei", "drei", "fünf")
CLASSES = len(LABELS)


@dataclass(frozen=True)
class Exported:
    model: keras.Model
    images: np.ndarray
    folder: Path
    workspace: Path
    contract: contract.Contract

    def path(self, name):
        return self.folder / formats()[name].path

    @property
    def materials(self):
        return Materials(
            self.workspace / "model.keras",
            self.workspace / "calibration.npy",
            contract.to_json(self.contract),
            self.workspace,
            validation=self.workspace / "validation.npz",
        )

    def request(self, name, folder=None):
        return ExportRequest(
            format_name=name,
            materials=self.materials,
            folder=folder or self.folder,
            promised=formats()[name].interface(SHAPE, CLASSES),
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
    labels = model.predict(images, verbose=0).argmax(axis=1)
    np.savez(workspace / "validation.npz", images=images, labels=labels)
    promised = contract.Contract(
        contract.image_input(SHAPE, "mixed"),
        contract.output(LABELS),
        {n: contract.of_format(n, f.interface(SHAPE, CLASSES)) for n, f in formats().items()},
        model_key="0" * 16,
        data_key="1" * 16,
        versions={"keras": keras.__version__},
    )
    contract.write(promised, folder)
    failures.write({}, folder)
    result = Exported(model, images, folder, workspace, promised)
    for name in with_needed(formats()):
        exporter(name).write(result.request(name))
    return result
