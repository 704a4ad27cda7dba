"""Distillation: a network learns from what a trained model answers, besides the labels.

The teacher sees the same augmented batches. It is not trained, and is part of neither the
network, nor its checkpoints, nor what is saved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.train import distillation as config
from pipeline.core.errors import ConfigError
from pipeline.data.dataset_json import Description
from pipeline.data.images.stratified import evenly_spread
from pipeline.data.images.types import LabelledImages
from pipeline.data.tfrecords import Shards
from pipeline.training.load_trained import TrainedModel, read_trained
from pipeline.training.technique import Technique

WHERE = "train.distillation.teacher"
LEAST_PROBABILITY = 1e-30
SUM_TOLERANCE = 1e-3
MOST_IMAGES = 500
MOST_CLASSES = 10
LITTLE = 1.5
"""Times the accuracy of guessing; a teacher with less is doubted."""


class Distillation(Technique):
    """Learns from the teacher that the config names, of which is told."""

    name = "distillation"

    def prepare(self) -> None:
        self._teacher = read_teacher(self.settings, self.dataset, self.validation)
        self.say(self._teacher.describe(self.settings))

    def compiled(self, model: Any, steps_per_epoch: int) -> None:
        learn_from(self._teacher.model, model, self.settings)

    def facts(self) -> dict[str, Any]:
        return self._teacher.facts()


@dataclass(frozen=True)
class Teacher:
    """A trained model to learn from.

    Attributes:
        name: which it is, for a person: its key, or the name of its file, and its SHA-256.
        model: in float32.
        accuracy: on some validation images.
        images: how many those are.
    """

    name: str
    model: Any
    accuracy: float
    images: int

    def describe(self, section: config.Distillation) -> str:
        return (
            f"{section.teacher_share:.0%} of the loss from {self.name} at temperature "
            f"{section.temperature:g}; it answers {self.accuracy:.2%} of {self.images} validation "
            f"images rightly{self._doubt}"
        )

    @property
    def _doubt(self) -> str:
        is_little = self.accuracy < LITTLE / self.model.output_shape[-1]
        return ", which is little: does it tell the classes apart in this order?" * is_little

    def facts(self) -> dict[str, str | float]:
        """For the manifest."""
        return {"teacher": self.name, "teacher_val_accuracy": self.accuracy}


def read_teacher(
    section: config.Distillation, dataset: Description, validation: LabelledImages | Shards
) -> Teacher:
    """Loads the teacher; an artifact's files are compared with its manifest first.

    Raises:
        ConfigError: it is no trained model, can run code, or does not fit the images.
        DamagedArtifactError: the folder is no artifact.
    """
    found, path = read_trained(section.teacher, WHERE), section.teacher_file
    model = found.model
    model.trainable = False
    _check_ends(path, model, dataset)
    _check_classes(found, dataset.classes)
    some = _sample(validation)
    answers = np.asarray(model(some.images.astype(np.float32), training=False))
    _check_probabilities(path, answers)
    accuracy = float((answers.argmax(axis=1) == some.labels).mean())
    name = f"{found.name} (SHA-256 {found.sha256[:16]})"
    return Teacher(name, model, accuracy, len(some.labels))


def _check_ends(path: Path, model: Any, dataset: Description) -> None:
    taken, given = (tuple(shape[1:]) for shape in (model.input_shape, model.output_shape))
    if taken != dataset.image_shape or given != (dataset.num_classes,):
        raise ConfigError(
            f"{WHERE}: {path} takes images of shape {taken} and gives {given} for each, but the "
            f"data has images of shape {dataset.image_shape} and {dataset.num_classes} classes; "
            "name a model that was trained on the same images and classes"
        )


def _check_classes(teacher: TrainedModel, classes: Sequence[str]) -> None:
    if teacher.classes not in (None, tuple(classes)):
        raise ConfigError(
            f"{WHERE}: {teacher.path} tells apart {_some(teacher.classes)}, and the data has "
            f"{_some(classes)}; name a model of the same classes in the same order"
        )


def _some(classes: Sequence[str]) -> str:
    return ", ".join(classes[:MOST_CLASSES]) + ", …" * (len(classes) > MOST_CLASSES)


def _check_probabilities(path: Path, answers: np.ndarray) -> None:
    sums = answers.sum(axis=1)
    if not (np.abs(sums - 1) <= SUM_TOLERANCE).all() or (answers < 0).any():
        raise ConfigError(
            f"{WHERE}: {path} gives rows with sums from {sums.min():.3g} to {sums.max():.3g}; "
            "expected probabilities, with sums of 1. Take it up with export --model first, and "
            "name that train artifact"
        )


def _sample(split: LabelledImages | Shards) -> LabelledImages:
    chosen = evenly_spread(len(split), MOST_IMAGES)
    if isinstance(split, Shards):
        return split.read(chosen)
    return LabelledImages(split.images[chosen], split.labels[chosen])


def learn_from(teacher: Any, model: Any, section: config.Distillation) -> None:
    """Makes the model's training loss (1 - s) H(y, p) + s T² KL(q_T ‖ p_T).

    H is the loss that the model is compiled with, y the targets, p and q the probabilities of
    the model and the teacher, p_T and q_T those at temperature T, s the teacher's share.
    Penalties on weights count in full; the loss of validation stays that of the labels.
    """
    plain = model.compute_loss
    divergence = keras.losses.KLDivergence()
    share, temperature = section.teacher_share, section.temperature

    def compute_loss(
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = plain(x, y, y_pred, sample_weight, training=training)
        if not training:
            return loss
        answers = tf.stop_gradient(teacher(x, training=False))
        taught = temperature**2 * divergence(
            softened(answers, temperature), softened(y_pred, temperature), sample_weight
        )
        return loss + share * (taught - model.loss(y, y_pred, sample_weight))

    model.compute_loss = compute_loss


def softened(probabilities: Any, temperature: float) -> Any:
    """The probabilities that the same logits give at a temperature.

    Logits are the logarithms of probabilities but for a constant, which softmax drops.

    Args:
        probabilities: float32 (batch, classes).
        temperature: above 1, they come nearer to each other.
    """
    logarithms = tf.math.log(tf.maximum(tf.cast(probabilities, tf.float32), LEAST_PROBABILITY))
    return tf.nn.softmax(logarithms / temperature)
