"""Brings a network through `export --model` or a config through `run`, in every format."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import keras
import numpy as np

from export.deployment import tf_serving
from tests import children_here as children
from tests.children_here import children_here
from tests.command_line import call_here

FORMATS = (
    "saved_model", "tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8",
    "tflite_int4", "onnx", "onnx_int8",
)  # fmt: skip
TRAIN, TEST, MOST_EPOCHS, MOST_LOSS = 400, 100, 40, 0.05
QUANTISED = ("tflite_dynamic", "tflite_int8", "tflite_int4", "onnx_int8")
MOST_LOST = 10
QUICK = (
    f"export.formats=[{', '.join(FORMATS)}]",
    "export.calibration.images=60",
    "verify.timed_runs=3",
    "verify.microcontroller_images=3",
)


def gates(names: Sequence[str]) -> str:
    """Not the formats' own: few epochs and 100 images tell no tenths of a point."""
    each = ", ".join(f"{name}: {{max_accuracy_drop_points: {MOST_LOST}}}" for name in names)
    return f"verify.gates={{{each}}}"


@dataclass(frozen=True)
class Row:
    """What came of one network: by format, why it failed; empty if it passed.

    Attributes:
        name: of the network or the config.
        accuracy: Keras' on the test images.
        reasons: by format.
    """

    name: str
    accuracy: float
    reasons: dict[str, str]


def pictures(folder: Path, shape: tuple[int, int, int], classes: int) -> Path:
    """Writes gratings as `.npz`: a class has its own direction, width and brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(TRAIN + TEST) % classes
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    images = np.empty((len(labels), *shape), np.uint8)
    for image, label in zip(images, labels, strict=True):
        along = (rows, columns, rows + columns, rows - columns)[label % 4] + rng.integers(8)
        bright = along // (2 + label // 4) % 2 * (120 + 100 * (label + 1) // classes)
        image[:] = np.clip(bright[..., None] + rng.integers(0, 36, shape), 0, 255)
    path = folder / "pictures.npz"
    split = {"train": slice(TRAIN), "test": slice(TRAIN, None)}
    np.savez(path, **{f"x_{n}": images[s] for n, s in split.items()},
             **{f"y_{n}": labels[s] for n, s in split.items()})  # fmt: skip
    return path


def teach(model: keras.Model, data: Path, *, head_alone: bool) -> None:
    """Trains until answers are sure; of a large network its last layer alone."""
    with np.load(data) as arrays:
        images, labels = arrays["x_train"].astype(np.float32), arrays["y_train"]
    if head_alone:
        _fit_head(model, images, labels)
        return
    shape = model.output_shape
    is_binary = not isinstance(shape, dict) and shape[-1] == 1
    loss = "binary_crossentropy" if is_binary else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"], jit_compile=False)
    targets = dict.fromkeys(model.output_names, labels) if isinstance(shape, dict) else labels
    for _ in range(MOST_EPOCHS):
        model.fit(images, targets, batch_size=32, verbose=0)
        # Not by what fit saw: the averages of batch normalisation lag behind.
        if model.evaluate(images, targets, verbose=0, return_dict=True)["loss"] <= MOST_LOSS:
            break


def _fit_head(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
    """Gives random weights averages of their own, and moves their features to around 0."""
    from sklearn.linear_model import LogisticRegression

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images[:100], training=True)
    features = keras.Model(model.input, model.layers[-1].input).predict(images, verbose=0)
    mean, scale = features.mean(axis=0), 1 / features.std(axis=0).max()
    fitted = LogisticRegression(max_iter=1000).fit((features - mean) * scale, labels)
    kernel = (fitted.coef_ * scale).T
    model.layers[-1].set_weights([kernel, fitted.intercept_ - mean @ kernel])


def bring(
    name: str, build: Callable[[], keras.Model], folder: Path, *, head_alone: bool = False
) -> Row:
    """Builds it, trains it briefly and exports it."""
    keras.utils.set_random_seed(0)
    model = build()
    is_binary = model.output_shape == (None, 1)
    classes = 2 if is_binary else _classes(model.output_shape)
    data = pictures(folder, model.input_shape[1:], classes)
    teach(model, data, head_alone=head_alone)
    path = folder / "brought.keras"
    model.save(path)
    keras.backend.clear_session()
    # What random weights in fifty layers make of an image, rounding changes visibly.
    rounded = ("tflite_float16", *QUANTISED) if head_alone else QUANTISED
    words = ("export", "--model", path, "--data", "npz", f"data.file={data}", *QUICK)
    return _called(name, (*words, gates(rounded)), folder)


def run(config: str, shape: tuple[int, int, int], classes: int, folder: Path) -> Row:
    """Runs a shipped config on few images of ours."""
    data = pictures(folder, shape, classes)
    few = ("train.epochs=8", "train.batch_size=32", "tune.enabled=false", "train.jit_compile=false")
    place = ("data.source=npz", f"data.file={data}", *few, *QUICK, gates(QUANTISED))
    return _called(config, ("run", "-c", f"configs/{config}.yaml", *place), folder)


@contextmanager
def _threads_as_they_are() -> Iterator[None]:
    """Lets this process ask SavedModels, too: how fast they are does not count here."""
    import tensorflow as tf

    setters = ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads")
    with ExitStack() as stack:
        stack.enter_context(patch.object(children, "_sets_threads", lambda *asked: False))
        every = (*children.FUNCTIONS, tf_serving.ANSWER)
        stack.enter_context(patch.object(children, "FUNCTIONS", every))
        for name in setters:
            stack.enter_context(patch.object(tf.config.threading, name))
        yield


def _classes(shape: object) -> int:
    (given,) = shape.values() if isinstance(shape, dict) else (shape,)
    return given[-1]


def _called(name: str, words: Sequence[object], folder: Path) -> Row:
    with children_here(), _threads_as_they_are():
        done = call_here(*words, "--artifacts", folder / "artifacts")
    runs = folder / "artifacts" / "runs"
    told = done.stdout + done.stderr
    if not runs.exists():
        return Row(name, float("nan"), dict.fromkeys(FORMATS, told.strip().splitlines()[-1]))
    (made,) = runs.iterdir()
    verdict = json.loads((made / "verify" / "verdict.json").read_text("utf-8"))
    reasons = {
        row["name"]: "; ".join(c["reason"] for c in row["checks"] if not c["passed"])
        for row in verdict["formats"]
    }
    return Row(name, verdict["keras_accuracy"], reasons)
