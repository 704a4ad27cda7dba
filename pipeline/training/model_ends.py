"""Makes a model that was brought take and give what all models do, classes in their order."""

from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.optimize import linear_sum_assignment

from export.keras_files import load
from pipeline.config.schema import TrainSection
from pipeline.core.errors import ConfigError
from pipeline.data.dataset_json import Description

PIXELS = (0.0, 255.0)
SAME_TOLERANCE = 1e-5
# So many standard deviations above chance a cycle of classes must be answered in its new order:
# luck comes this far once in some 700 times, and had to propose it first.
SURE = 3.0
# A few classes change places by accident in a model that is bad at all others, too.
WELL = 0.5


def wrapped(path: Path, model: Any, dataset: Description, section: TrainSection) -> keras.Model:
    """The model behind an input `image` of pixels 0..255, in front of its probabilities.

    Raises:
        ConfigError: it cannot be called with such images, or does not give one number a class.
    """
    image = keras.Input(dataset.image_shape, name="image")
    low, high = section.pixel_range
    scaled = image
    if (low, high) != PIXELS:
        scaled = keras.layers.Rescaling((high - low) / 255, offset=low, name="pixel_range")(image)
    loaded = {id(weight) for weight in model.weights}
    try:
        output = model(scaled)
    except Exception as error:  # a model's own code may raise anything
        raise ConfigError(
            f"{path}: cannot be called with images of shape {dataset.image_shape}. "
            f"{load.gist(error)}"
        ) from error
    load.refuse_unbuilt(path, list(_layers_with_others(model, loaded)))
    given = only(output, path)
    _refuse_output(path, given, dataset.num_classes)
    return keras.Model(image, _ending(given, dataset.classes, section), name="imported")


def as_logits(core: Any, section: TrainSection, some: np.ndarray) -> tuple[Any, TrainSection]:
    """The model without its last sigmoid or softmax, where others are to stand behind its logits.

    Probabilities that were put together of others would not sum to 1 in 8 bits. A model that
    does not end so, or answers otherwise then, stays as it is.

    Args:
        core: the model from the file.
        section: what it is said to give.
        some: a few images, float32, in the range that it takes.
    """
    if section.gives == "logits" or not getattr(core, "outputs", None):
        return core, section
    if not (is_single := core.outputs[0].shape[1:] == (1,)) and not section.class_order:
        return core, section
    normalise = keras.ops.sigmoid if is_single else keras.ops.softmax
    before = only(core(some, training=False))
    bare, undo = _without_activation(core, normalise)
    after = normalise(only(bare(some, training=False)))
    if np.allclose(before, after, atol=SAME_TOLERANCE):
        return bare, section.model_copy(update={"gives": "logits"})
    undo()
    return core, section


def _without_activation(core: Any, normalise: Any) -> tuple[Any, Callable[[], None]]:
    """The model without the function that it ends in, and what undoes that."""
    last = core.outputs[0]._keras_history.operation
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(core.inputs[0], last.input), lambda: None
    while getattr(last, "outputs", None):
        last = last.outputs[0]._keras_history.operation
    function = getattr(last, "activation", None)
    if getattr(function, "__name__", "") != normalise.__name__:
        return core, lambda: None
    last.activation = keras.activations.linear
    return core, lambda: setattr(last, "activation", function)


def only(output: Any, path: Path | None = None) -> Any:
    """The one output, which may stand in a dict or a list."""
    given = keras.tree.flatten(output)
    if len(given) != 1:
        raise ConfigError(f"{path}: gives {len(given)} outputs; expected the probabilities alone")
    return given[0]


def _ending(given: Any, classes: Sequence[str], section: TrainSection) -> Any:
    """One probability a class, in the data's order, of what the model gives.

    A single probability p becomes 1 - p and p, a single logit z the logits 0 and z.
    """
    is_logits = section.gives == "logits"
    kernel, bias = np.eye(len(classes)), np.zeros(len(classes))
    if given.shape != (None, len(classes)):
        given = keras.layers.Reshape((1,))(given)
        kernel, bias = np.array([[-1.0, 1.0]]), np.array([1.0, 0.0])
        if is_logits:
            kernel, bias = np.array([[0.0, 1.0]]), np.zeros(2)
    if section.class_order:
        order = [section.class_order.index(name) for name in classes]
        kernel, bias = kernel[:, order], bias[order]
    if not np.array_equal(kernel, np.eye(len(classes))):
        layer = keras.layers.Dense(len(classes), trainable=False, name="classes")
        layer.build(given.shape)
        layer.set_weights([kernel, bias])
        given = layer(given)
    return keras.layers.Softmax(name="probabilities")(given) if is_logits else given


def _layers_with_others(model: Any, loaded: Container[int]) -> Iterator[str]:
    """Names of the layers that have weights of their own besides the loaded ones."""
    for layer in model._flatten_layers():
        own = (*layer._trainable_variables, *layer._non_trainable_variables)
        if any(id(weight) not in loaded for weight in own):
            yield layer.name


def _refuse_output(path: Path, given: Any, num_classes: int) -> None:
    single = ((None,), (None, 1)) if num_classes == 2 else ()
    if given.shape not in ((None, num_classes), *single):
        known = f"{given.shape[-1]} classes" if len(given.shape) == 2 else "its own classes"
        if given.shape[1:] in ((), (1,)):
            known = "two classes, which its single output tells apart"
        raise ConfigError(
            f"{path}: gives an output of shape {given.shape[1:]} for each image, but the data has "
            f"{num_classes} classes; expected ({num_classes},), one probability a class. "
            f"Bring a model of these {num_classes} classes, or data of {known}"
        )


def places(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Where the model's output has each class: int64 (classes,), `arange` if in its place.

    Each second image proposes, by the assignment that fits most of them; the others must confirm
    each cycle of classes in it, with well over half of its images, and one beyond all luck. Of
    less than half of the classes it is believed only where most answers are right then.

    Args:
        predicted: int64 (images,), the output that is highest.
        labels: int64 (images,).
        num_classes: of the data, and outputs of the model.
    """
    seen = np.zeros((num_classes, num_classes))
    np.add.at(seen, (labels[::2], predicted[::2]), 1)
    _, proposed = linear_sum_assignment(-seen - np.eye(num_classes) / 2)  # ties stay in place
    found, is_sure = np.arange(num_classes), False
    for cycle in _cycles(proposed.tolist()):
        held_out = np.isin(labels[1::2], cycle)
        right = (predicted[1::2] == proposed[labels[1::2]])[held_out]
        chance, count = 1 / len(cycle), len(right)
        if count and right.mean() >= (1 + chance) / 2:
            found[cycle] = proposed[cycle]
            deviation = float(np.sqrt(count * chance * (1 - chance)))
            is_sure |= right.sum() - count * chance >= SURE * deviation
    is_good = (predicted[1::2] == found[labels[1::2]]).mean() >= WELL
    are_many = (found != np.arange(num_classes)).mean() >= WELL
    return found if is_sure and (is_good or are_many) else np.arange(num_classes)


def _cycles(permutation: Sequence[int]) -> Iterator[list[int]]:
    """The classes that change places among each other."""
    left = {start for start, end in enumerate(permutation) if start != end}
    while left:
        cycle = [left.pop()]
        while (following := permutation[cycle[-1]]) != cycle[0]:
            cycle.append(following)
        left -= set(cycle)
        yield cycle
