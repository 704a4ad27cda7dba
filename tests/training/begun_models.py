"""A tiny network with the layers that presets have, and artifacts of trained ones."""

import keras
import numpy as np

from pipeline.store.artifact import write_manifest
from pipeline.training.load_trained import write_classes

SIDE, CLASSES = 8, ("a", "b", "c")


def make(classes=3, filters=4, activation="relu", seed=0, channels=1):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, channels), name="image"),
            keras.layers.Rescaling(1 / 255, name="normalize"),
            keras.layers.Conv2D(filters, 3, use_bias=False, name="conv1"),
            keras.layers.BatchNormalization(momentum=0.9, name="norm1"),
            keras.layers.Activation(activation, name="activation1"),
            keras.layers.Conv2D(4, 3, name="conv2"),
            keras.layers.GlobalMaxPooling2D(name="pool"),
            keras.layers.Dropout(0.2, name="dropout"),
            keras.layers.Dense(classes, name="logits"),
            keras.layers.Activation("softmax", dtype="float32", name="probabilities"),
        ]
    )


def with_other_weights(model, seed=9):
    """The model with weights that no initialisation gives."""
    random = np.random.default_rng(seed)
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights([random.uniform(0.1, 0.9, shape) for shape in shapes])
    return model


def publish(root, model, classes=None, stage="train", **metrics):
    """An artifact of a model, and of its classes where they are told."""
    folder = root / stage / "0123456789abcdef"
    folder.mkdir(parents=True)
    if model:
        model.save(folder / "model.keras")
    if classes:
        write_classes(folder, classes)
    manifest = {
        "stage": stage,
        "key": folder.name,
        "created": "2026-11-22T12:00:00+00:00",
        "summary": "",
        "inputs": {"ingest": {"key": "f" * 16, "content": "e" * 16}},
        "ingredients": {},
        "metrics": metrics,
    }
    write_manifest(folder, manifest)
    return folder


def weights(model):
    """Bytes of each weight, by layer."""
    return {
        layer.name: [weight.tobytes() for weight in layer.get_weights()]
        for layer in model.layers
        if layer.get_weights()
    }
