"""Takes a trained model from a file: checks it, and says how it may have been meant."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.keras_files import load
from export.keras_files.load import Trust
from pipeline.config.schema import TrainSection
from pipeline.core.errors import ConfigError
from pipeline.data import dataset_json
from pipeline.data.images.stratified import evenly_spread
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import Shards, open_split
from pipeline.evaluation.metrics import is_guessing
from pipeline.training.model_ends import (
    PIXELS,
    SAME_TOLERANCE,
    SURE,
    as_logits,
    only,
    places,
    wrapped,
)
from pipeline.workflow.stage import StageContext, StageResult

COMMON_RANGES = (PIXELS, (0.0, 1.0), (-1.0, 1.0))
LEAST_IMAGES, IMAGES_A_CLASS, MOST_IMAGES = 500, 10, 5000
MOST_BYTES = 1 << 28
BATCH, SOME = 500, 32
COLOR_MODES = {1: "grayscale", 3: "rgb"}
SUM_TOLERANCE = 1e-3
CLEARLY_BETTER = 0.02


def import_model(context: StageContext) -> StageResult:
    """Publishes the model of `train.model_file` as `model.keras`, in float32.

    Raises:
        ConfigError: the file is refused, or its model does not fit the data or the config.
    """
    section, ingest = context.config.train, context.inputs["ingest"]
    path = section.model_file
    assert path is not None
    dataset = dataset_json.read(ingest)
    images = _sample(open_split(ingest, "validation"), dataset.num_classes)
    trust = Trust(section.model_code) if section.trust_model_file else None
    _check_order(section.class_order, dataset.classes)
    core = load.load(path, trust)
    check_input(path, core, dataset)
    some = _scaled(images.images[:SOME], section.pixel_range)
    core, section = as_logits(core, section, some)
    model = wrapped(path, core, dataset, section)
    answers = _answers(model, images.images)
    _check_probabilities(path, answers)
    if context.config.train.gives == "logits":
        _check_logits(path, _raw(core, images.images[:BATCH], section.pixel_range))
    load.publish(model, context.output, trust)
    published = context.output / load.MODEL
    again = load.load_published(published, is_trusted=section.trust_model_file)
    _check_survives(path, _answers(again, images.images), answers)
    accuracy = _accuracy(answers.argmax(axis=1), images.labels)
    better = _better(core, images, section, dataset.classes)
    hint = _in_words(better, section) or guessing_note(accuracy, images.labels)
    passed = not (better.order or is_beyond_luck(better, accuracy, len(images.labels)))
    return StageResult(
        f"{'took' if passed else _wrong(better, section)} {path.name}: "
        f"{model.count_params():,} parameters, validation accuracy {accuracy:.2%}{hint}",
        {
            "val_accuracy": accuracy,
            "parameters": model.count_params(),
            "model_file": path.name,
        },
        passed,
    )


def _check_order(order: Sequence[str] | None, classes: Sequence[str]) -> None:
    if order and sorted(order) != sorted(classes):
        wrong = sorted((Counter(order) - Counter(classes)) or (Counter(classes) - Counter(order)))
        raise ConfigError(
            f"train.class_order names {len(order)} classes and the data has {len(classes)}; "
            f"{wrong[0]!r} is one too many or missing. Name each of them once, in the order of "
            "the model's outputs"
        )


def _sample(split: Shards, num_classes: int) -> LabelledImages:
    """Spread over the split: enough of each class to tell which it is, of large images fewer."""
    wanted = min(max(LEAST_IMAGES, IMAGES_A_CLASS * num_classes), MOST_IMAGES)
    image_bytes = split.read(np.zeros(1, np.int64)).images.nbytes
    count = min(wanted, max(LEAST_IMAGES, MOST_BYTES // image_bytes))
    return split.read(evenly_spread(len(split), count))


def check_input(path: Path, model: Any, dataset: dataset_json.Description) -> None:
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
    if len(taken) != len(dataset.image_shape) or any(
        size not in (None, found) for size, found in zip(taken, dataset.image_shape, strict=True)
    ):
        raise ConfigError(
            f"{path}: takes images of shape {tuple(taken)}, but the data's are "
            f"{dataset.image_shape} (height, width, channels); {_to_shape(taken, dataset)}"
        )
    if not keras.backend.is_float_dtype(inputs[0].dtype):
        raise ConfigError(
            f"{path}: takes {inputs[0].dtype}; expected an Input of float32, which holds pixels "
            "0..255 in every format"
        )


def _to_shape(taken: Sequence[int | None], dataset: dataset_json.Description) -> str:
    """What brings the data to a model's shape: settings, where they are read from picture files."""
    if dataset.fit is None or len(taken) != 3 or taken[2] not in (None, *COLOR_MODES):
        return "put a Reshape or Resizing layer in front of the model, or bring data of its shape"
    height, width, channels = (
        wanted or found for wanted, found in zip(taken, dataset.image_shape, strict=True)
    )
    size = f"data.image_size=[{height}, {width}]"
    settings = [size] if (height, width) != dataset.image_shape[:2] else []
    if channels != dataset.image_shape[2]:
        settings.append(f"data.color_mode={COLOR_MODES[channels]}")
    return f"set {shlex.join(settings)} to read the pictures so"


def _answers(model: Any, images: np.ndarray) -> np.ndarray:
    """float32 (count, classes)."""
    return np.concatenate(
        [np.asarray(model(batch, training=False), np.float32) for batch in _batches(images)]
    )


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH].astype(np.float32)


def _are_probabilities(answers: np.ndarray) -> bool:
    is_in_range = (answers >= -SUM_TOLERANCE).all() and (answers <= 1 + SUM_TOLERANCE).all()
    return bool(is_in_range and (np.abs(answers.sum(axis=1) - 1) <= SUM_TOLERANCE).all())


def _check_probabilities(path: Path, answers: np.ndarray) -> None:
    if not np.isfinite(answers).all():
        raise ConfigError(
            f"{path}: gives no number for some validation images, though its weights are numbers; "
            "if it expects other pixels than 0..255, set train.pixel_range, or take out the layer "
            "that divides by zero or overflows"
        )
    if not _are_probabilities(answers):
        sums, low, high = answers.sum(axis=1), answers.min(), answers.max()
        remedy = "If they are logits, set train.gives=logits"
        if low >= 0 and high <= 1:
            remedy = "One sigmoid a class gives such; end the model in a softmax, or in its logits"
        raise ConfigError(
            f"{path}: gives rows from {low:.3g} to {high:.3g} with sums from {sums.min():.3g} to "
            f"{sums.max():.3g}; expected probabilities, with sums of 1. {remedy}"
        )


def _check_logits(path: Path, raw: np.ndarray) -> None:
    if _are_given(raw):
        raise ConfigError(
            f"{path}: gives probabilities already; a second softmax would flatten them. "
            "Set train.gives=probabilities"
        )


def _are_given(raw: np.ndarray) -> bool:
    """Whether a model's own answers are probabilities already; a single one is that of a class."""
    return _are_probabilities(np.hstack([1 - raw, raw]) if raw.shape[1] == 1 else raw)


def _raw(core: Any, images: np.ndarray, pixel_range: tuple[float, float]) -> np.ndarray:
    """What the model in the file gives for pixels in a range of its own: (count, outputs)."""
    parts = [
        np.asarray(only(core(_scaled(batch, pixel_range), training=False)))
        for batch in _batches(images)
    ]
    return np.concatenate(parts).reshape(len(images), -1)


def _scaled(images: np.ndarray, pixel_range: tuple[float, float]) -> np.ndarray:
    low, high = pixel_range
    return images.astype(np.float32) * ((high - low) / 255) + low


def _check_survives(path: Path, again: np.ndarray, answers: np.ndarray) -> None:
    """Refuses a model that was changed by being written: the config of a class lacks something."""
    difference = float(np.abs(again - answers).max())
    if difference > SAME_TOLERANCE:
        raise ConfigError(
            f"{path}: saved and loaded again, it answers otherwise (by {difference:.2g}); "
            "get_config() of its own classes must hold all that their layers are made from"
        )


def _accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    return float((predicted == labels).mean())


@dataclass(frozen=True)
class Reading:
    """How the model may be meant.

    Attributes:
        accuracy: on the validation images.
        pixel_range: of the pixels that it takes.
        order: the data's classes in the order of its outputs; empty if that is as the config says.
    """

    accuracy: float
    pixel_range: tuple[float, float]
    order: tuple[str, ...] = ()


def _better(
    core: Any, images: LabelledImages, section: TrainSection, classes: Sequence[str]
) -> Reading:
    """The reading under which the model does clearly better, or that of the config."""
    ranges = dict.fromkeys((section.pixel_range, *COMMON_RANGES))
    plain, moved = [], []
    for pixel_range in ranges:
        predicted = _predicted(core, images.images, section, pixel_range, classes)
        plain.append(Reading(_accuracy(predicted, images.labels), pixel_range))
        found = places(predicted, images.labels, len(classes))
        if (found != np.arange(len(classes))).any():
            accuracy = _accuracy(predicted, found[images.labels])
            moved.append(Reading(accuracy, pixel_range, _order(found, section, classes)))
    best = plain[0]
    for other in plain[1:]:
        if other.accuracy >= best.accuracy + CLEARLY_BETTER:
            best = other
    # An order is beyond doubt by its own test, also where two of a hundred classes are swapped.
    return max((best, *moved), key=lambda reading: reading.accuracy)


def _predicted(
    core: Any,
    images: np.ndarray,
    section: TrainSection,
    pixel_range: tuple[float, float],
    classes: Sequence[str],
) -> np.ndarray:
    """The label that the model in the file gives each image: int64 (count,)."""
    raw = _raw(core, images, pixel_range)
    if raw.shape[1] == 1:
        raw = np.hstack([np.full_like(raw, 0.0 if section.gives == "logits" else 0.5), raw])
    labels = [classes.index(name) for name in section.class_order or classes]
    return np.array(labels)[raw.argmax(axis=1)]


def _order(found: np.ndarray, section: TrainSection, classes: Sequence[str]) -> tuple[str, ...]:
    """What the outputs stand for, where an image of class c is answered with class found[c]."""
    meant = {classes[answered]: classes[label] for label, answered in enumerate(found)}
    return tuple(meant[name] for name in section.class_order or classes)


def is_beyond_luck(reading: Reading, accuracy: float, images: int) -> bool:
    """Whether the gain is three deviations of the images that only one reading gets right.

    As many as that can be, each with a sign of its own: McNemar, Psychometrika 12 (1947).
    """
    gain, only_one = reading.accuracy - accuracy, 2 - reading.accuracy - accuracy
    return gain > 0 and images * gain**2 >= SURE**2 * only_one


def guessing_note(accuracy: float, labels: np.ndarray) -> str:
    """What to say of a model that does no better than naming the largest class always."""
    support = np.bincount(labels)
    if not is_guessing(round(accuracy * len(labels)), support):
        return ""
    share = support.max() / len(labels)
    return (
        f", no better than naming the most frequent class always ({share:.2%}): if it knows these "
        "classes, put layers in front of it that prepare pixels 0..255 as it expects them"
    )


def _wrong(reading: Reading, section: TrainSection) -> str:
    """What comes first of a model that fails the run: which setting is wrong."""
    is_range = reading.pixel_range != section.pixel_range
    wrong = ["pixel range"] * is_range + ["class order"] * bool(reading.order)
    return f"wrong {' and '.join(wrong)} for"


def _in_words(reading: Reading, section: TrainSection) -> str:
    settings, cause = [], ""
    if reading.pixel_range != section.pixel_range:
        low, high = reading.pixel_range
        settings.append(f"train.pixel_range=[{low:g},{high:g}]")
    if reading.order:
        settings.append(f"train.class_order={json.dumps(reading.order, ensure_ascii=False)}")
        cause = "its classes stand in another order: "
    if not settings:
        return ""
    return f"; {cause}with {shlex.join(settings)} it would be {reading.accuracy:.2%}"
