"""Augmented images a second: this project's batches, stacked Keras layers, ImageDataGenerator.

    .venv/bin/python benchmarks/input_pipeline.py

All three turn, shift, zoom (and, but for the layers, which cannot, shear) MNIST's training images
in batches of 128, each with all cores, in turns in this one process. The table gives the median of
the rounds and how many times the generator's speed that is.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.schema import AugmentationSection
from pipeline.data.batches import BatchPlan, training_batches
from pipeline.data.images.types import LabelledImages
from pipeline.data.sources import idx

BATCH, ROUNDS, SECONDS, WARM_UP = 128, 5, 2.0, 5
TURN, SHIFT, ZOOM, SHEAR = 10.0, 0.1, 0.1, 0.1


def ours(data: LabelledImages) -> Iterator[Any]:
    section = AugmentationSection(
        rotation_degrees=TURN, shift_fraction=SHIFT, zoom_fraction=ZOOM, shear_fraction=SHEAR
    )
    return iter(training_batches(data, section, BatchPlan(10, BATCH, seed=0, epochs=1_000_000)))


def stacked_layers(data: LabelledImages) -> Iterator[Any]:
    layers = [
        keras.layers.RandomRotation(TURN / 360),
        keras.layers.RandomTranslation(SHIFT, SHIFT),
        keras.layers.RandomZoom(ZOOM),
    ]

    def augment(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(images, tf.float32)
        for layer in layers:
            images = layer(images, training=True)
        return images, tf.one_hot(labels, 10)

    batches = tf.data.Dataset.from_tensor_slices((data.images, data.labels))
    batches = batches.shuffle(len(data)).repeat().batch(BATCH)
    return iter(batches.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))


def generator(data: LabelledImages) -> Iterator[Any]:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    made = ImageDataGenerator(
        rotation_range=TURN,
        width_shift_range=SHIFT,
        height_shift_range=SHIFT,
        zoom_range=ZOOM,
        shear_range=np.degrees(np.arctan(SHEAR)),
    )
    batches: Iterator[Any] = made.flow(data.images.astype(np.float32), data.labels, BATCH)
    return batches


WAYS: dict[str, Callable[[LabelledImages], Iterator[Any]]] = {
    "evenkeel": ours,
    "three Keras layers": stacked_layers,
    "ImageDataGenerator": generator,
}


def main() -> None:
    data = idx.load(idx.Options(source="idx")).train
    batches = {name: way(data) for name, way in WAYS.items()}
    for given in batches.values():
        list(islice(given, WARM_UP))
    speeds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, given in batches.items():
            speeds[name].append(_images_per_second(given))
    slowest = statistics.median(speeds["ImageDataGenerator"])
    for name, found in speeds.items():
        median = statistics.median(found)
        print(f"{name:<20} {median:>10,.0f} images a second {median / slowest:7.1f} times")


def _images_per_second(batches: Iterator[Any]) -> float:
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        images, _ = next(batches)
        count += len(images)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
