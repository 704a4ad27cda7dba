"""Takes a trained model from a file: checks it, and makes it take and give what all models do."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.model_files import model_file
from export.model_files.model_file import Trust
from pipeline.config import TrainSection
from pipeline.data import description
from pipeline.data.records import Shards, open_split
from pipeline.errors import ConfigError
from pipeline.sources import LabelledImages
from pipeline.stages import StageContext, StageResult

PIXELS = (0.0, 255.0)
COMMON_RANGES = (PIXELS, (0.0, 1.0), (-1.0, 1.0))
MOST_IMAGES = 500
SUM_TOLERANCE = 1e-3
SAME_TOLERANCE = 1e-5
CLEARLY_BETTER = 0.02


def import_model(context: StageContext) -> StageResult:
    """Publishes the model of `train.model_file` as `model.keras`, in float32.

    Raises:
        ConfigError: the file is refused, or its model does not fit the data or the config.
    """
    section, ingest = context.config.train, context.inputs["ingest"]
    path = section.model_file
    assert path is not None
    dataset, images = description.read(ingest), _sample(open_split(ingest, "validation"))
    trust = Trust(section.model_code) if section.trust_model_file else None
    core = model_file.load(path, trust)
    _check_input(path, core, dataset.image_shape)
    model = wrapped(path, core, dataset.image_shape, section)
    _check_output(path, model, dataset.num_classes)
    answers = _answers(model, images.images)
    _check_probabilities(path, core, images.images, section, answers)
    model_file.publish(model, context.output, trust)
    published = context.output / model_file.MODEL
    again = model_file.load_published(published, is_trusted=section.trust_model_file)
    _check_survives(path, _answers(again, images.images), answers)
    accuracy = _accuracy(answers, images.labels)
    hint = _hint(core, images, section, accuracy)
    return StageResult(
        f"took {path.name}: {model.count_params():,} parameters, "
        f"validation accuracy {accuracy:.2%}{hint}",
        {"val_accuracy": accuracy, "parameters": model.count_params(), "model_file": path.name},
    )


def _sample(split: Shards) -> LabelledImages:
    count = min(len(split), MOST_IMAGES)
    return split.read(np.linspace(0, len(split) - 1, count).astype(np.int64))


def _check_input(path: Path, model: Any, image_shape: tuple[int, ...]) -> None:
    """Refuses a model that cannot take the images as they are."""
    for layer in model._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise ConfigError(
                f"{path}: its layer {layer.name} has data_format channels_first; expected "
                "channels_last, in which every runtime of the formats here computes"
            )
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return  # a subclassed model says what it takes when it is called
    if len(inputs) != 1:
        raise ConfigError(f"{path}: takes {len(inputs)} inputs; expected one, the image")
    batch, *taken = inputs[0].shape
    if batch is not None:
        raise ConfigError(
            f"{path}: takes batches of exactly {batch}; make its Input without a batch size"
        )
    if len(taken) != len(image_shape) or any(
        size not in (None, found) for size, found in zip(taken, image_shape, strict=True)
    ):
        raise ConfigError(
            f"{path}: takes images of shape {tuple(taken)}, but the data's are {image_shape} "
            "(height, width, channels); put a Reshape or Resizing layer in front of the model, "
            "or bring data of its shape"
        )
    if not keras.backend.is_float_dtype(inputs[0].dtype):
        raise ConfigError(
            f"{path}: takes {inputs[0].dtype}; expected an Input of float32, which holds pixels "
            "0..255 in every format"
        )


def wrapped(
    path: Path, model: Any, image_shape: tuple[int, ...], section: TrainSection
) -> keras.Model:
    """The model behind an input `image` of pixels 0..255, in front of its probabilities.

    Raises:
        ConfigError: it cannot be called with such images.
    """
    image = keras.Input(image_shape, name="image")
    low, high = section.pixel_range
    scaled = image
    if (low, high) != PIXELS:
        scaled = keras.layers.Rescaling((high - low) / 255, offset=low, name="pixel_range")(image)
    loaded = {id(weight) for weight in model.weights}
    try:
        output = model(scaled)
    except Exception as error:  # a model's own code may raise anything
        raise ConfigError(
            f"{path}: cannot be called with images of shape {image_shape}. {model_file.gist(error)}"
        ) from error
    model_file.refuse_unbuilt(path, list(_layers_with_others(model, loaded)))
    if section.gives == "logits":
        output = keras.layers.Softmax(name="probabilities")(output)
    return keras.Model(image, output, name="imported")


def _layers_with_others(model: Any, loaded: Container[int]) -> Iterator[str]:
    """Names of the layers that have weights of their own besides the loaded ones."""
    for layer in model._flatten_layers():
        own = (*layer._trainable_variables, *layer._non_trainable_variables)
        if any(id(weight) not in loaded for weight in own):
            yield layer.name


def _check_output(path: Path, model: keras.Model, num_classes: int) -> None:
    given = model.output
    if not isinstance(given, keras.KerasTensor):
        raise ConfigError(f"{path}: gives more than one output; expected the probabilities alone")
    if given.shape != (None, num_classes):
        raise ConfigError(
            f"{path}: gives an output of shape {given.shape[1:]} for each image, but the data has "
            f"{num_classes} classes; expected ({num_classes},), one probability a class"
        )


def _answers(model: Any, images: np.ndarray) -> np.ndarray:
    """float32 (count, classes)."""
    return np.asarray(model(images.astype(np.float32), training=False), np.float32)


def _are_probabilities(answers: np.ndarray) -> bool:
    is_in_range = (answers >= -SUM_TOLERANCE).all() and (answers <= 1 + SUM_TOLERANCE).all()
    return bool(is_in_range and (np.abs(answers.sum(axis=1) - 1) <= SUM_TOLERANCE).all())


def _check_probabilities(
    path: Path, core: Any, images: np.ndarray, section: TrainSection, answers: np.ndarray
) -> None:
    if not np.isfinite(answers).all():
        raise ConfigError(f"{path}: gives no number for some validation images")
    if not _are_probabilities(answers):
        sums = answers.sum(axis=1)
        raise ConfigError(
            f"{path}: gives rows from {answers.min():.3g} to {answers.max():.3g} with sums from "
            f"{sums.min():.3g} to {sums.max():.3g}; expected probabilities, with sums of 1. If "
            "they are logits, set train.gives=logits"
        )
    if section.gives == "logits" and _are_probabilities(_raw(core, images, section.pixel_range)):
        raise ConfigError(
            f"{path}: gives probabilities already; a second softmax would flatten them. "
            "Set train.gives=probabilities"
        )


def _raw(core: Any, images: np.ndarray, pixel_range: tuple[float, float]) -> np.ndarray:
    """What the model in the file gives for pixels in a range of its own."""
    low, high = pixel_range
    return np.asarray(core(images.astype(np.float32) * ((high - low) / 255) + low, training=False))


def _check_survives(path: Path, again: np.ndarray, answers: np.ndarray) -> None:
    """Refuses a model that was changed by being written: the config of a class lacks something."""
    difference = float(np.abs(again - answers).max())
    if difference > SAME_TOLERANCE:
        raise ConfigError(
            f"{path}: saved and loaded again, it answers otherwise (by {difference:.2g}); "
            "get_config() of its own classes must hold all that their layers are made from"
        )


def _accuracy(answers: np.ndarray, labels: np.ndarray) -> float:
    return float((answers.argmax(axis=1) == labels).mean())


def _hint(core: Any, images: LabelledImages, section: TrainSection, accuracy: float) -> str:
    """Words on another range of pixels under which the model does clearly better."""
    found = dict(_accuracies(core, images))
    best = max(found, key=found.__getitem__)
    if best == section.pixel_range or found[best] < accuracy + CLEARLY_BETTER:
        return ""
    return f"; with train.pixel_range={list(best)} it would be {found[best]:.2%}"


def _accuracies(core: Any, images: LabelledImages) -> Iterator[tuple[tuple[float, float], float]]:
    for pixel_range in COMMON_RANGES:
        answers = _raw(core, images.images, pixel_range)
        yield pixel_range, _accuracy(answers, images.labels)
