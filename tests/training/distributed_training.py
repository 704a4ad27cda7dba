"""Trainings on several devices, each to be run in a process of its own.

They answer in JSON, by the names of the functions: `mirrored FOLDER EPOCHS`, `joined` likewise.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.schema import TrainSection
from pipeline.training.checkpoint import FILE_NAME
from pipeline.training.distributed.replicated_model import scope_of, share_out
from pipeline.training.distributed.strategy import choose_devices
from pipeline.training.optimizer import compile_model
from tests.training import resumed_training as training

# Of 58 images, the parts of a batch differ in size, and the last has one image for two devices.
BATCH_SIZE, STEPS_PER_EPOCH = 19, 4


def make_config(strategy: str, epochs: int):
    return training.make_config(
        training.AS_THEY_ARE,
        strategy=strategy,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        early_stopping_patience=None,
        checkpoint_every_steps=None,
        schedule="constant",
        learning_rate=0.003,
    )


class KeepCheckpoint(keras.callbacks.Callback):
    """Keeps the checkpoint after the first epoch."""

    def __init__(self, folder, target):
        super().__init__()
        self._folder, self._target = folder, target

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            shutil.copy(self._folder / FILE_NAME, self._target / FILE_NAME)


class End(keras.callbacks.Callback):
    """Ends the process as a kill does, in the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if keras.ops.convert_to_numpy(self.model.optimizer.iterations) > STEPS_PER_EPOCH:
            os._exit(9)


def difference(one, other) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def mirrored(folder: Path, epochs: int) -> dict:
    """One device, and two that go on after its first epoch."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    training.write_images(folder)
    splits = training.open_images(folder, "memory")
    one, two = (folder / name for name in ("one", "two"))
    two.mkdir()
    config = make_config("mirrored", epochs)
    alone = training.train(config, splits, one, KeepCheckpoint(one, two))
    devices = choose_devices(config.train)
    together, began = share_out(training.make_model(), devices.strategy), []
    with patch.object(training, "make_model", lambda: together):
        shared = training.train(config, splits, two, began=began)
    np.savez(folder / "alone.npz", *alone.last)
    return {
        "words": devices.words,
        "shared_steps": (config.train.epochs - began[0][0]) * STEPS_PER_EPOCH,
        "histories": [alone.history, shared.history],
        "difference": difference(alone.last, shared.last),
        "half": in_half_precision(devices.strategy),
    }


def in_half_precision(strategy: tf.distribute.Strategy) -> list[dict]:
    """Two devices, then one: two epochs, and a step that overflows in the part of the second."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_float16")
    dense = [keras.layers.Flatten(), keras.layers.Dense(training.CLASSES)]
    softmax = keras.layers.Activation("softmax", dtype="float32")
    image = keras.Input((training.SIDE, training.SIDE, 1))
    network = keras.Sequential([image, keras.layers.Rescaling(1 / 255), *dense, softmax])
    keras.config.set_dtype_policy("float32")
    part = training.images(3 * BATCH_SIZE + 1, seed=1)
    images, targets = part.images.astype(np.float32), np.eye(training.CLASSES)[part.labels]
    sound = tf.data.Dataset.from_tensor_slices((images, targets)).batch(BATCH_SIZE)
    overflowing = np.where(np.arange(BATCH_SIZE) == BATCH_SIZE - 1, 1e30, 1)[:, None, None, None]
    bad = tf.data.Dataset.from_tensors((images[:BATCH_SIZE] * overflowing, targets[:BATCH_SIZE]))
    return [_in_half_precision(share_out(network, s), sound, bad) for s in (strategy, None)]


def _in_half_precision(model: keras.Model, sound: tf.data.Dataset, bad: tf.data.Dataset) -> dict:
    with scope_of(model):
        compile_model(model, TrainSection(learning_rate=0.01), 2 * STEPS_PER_EPOCH, {})
    told = model.fit(sound, epochs=2, shuffle=False, verbose=0)
    before = model.get_weights()
    model.fit(bad, shuffle=False, verbose=0)
    return {
        "losses": told.history["loss"],
        "scale": float(keras.ops.convert_to_numpy(model.optimizer.dynamic_scale)),
        "moved": difference(before, model.get_weights()),
    }


def joined(folder: Path, epochs: int) -> dict:
    """A worker of a job; the second of them ends in the second epoch where `KILL` is set."""
    config = make_config("multi_worker", epochs)
    devices = choose_devices(config.train)
    splits = training.open_images(folder, "memory")
    together, began = share_out(training.make_model(), devices.strategy), []
    job = folder / os.environ.get("JOB", "")
    job.mkdir(exist_ok=True)
    watchers = [End()] if devices.job.index == 1 and "KILL" in os.environ else []
    with (
        patch.object(training, "make_model", lambda: together),
        patch.object(training, "CheckpointFile", lambda _: devices.checkpoints(job)),
    ):
        own = folder / f"worker{devices.job.index}"
        try:
            trained = training.train(config, splits, own, *watchers, began=began)
        except tf.errors.OpError as error:
            return {"lost": type(error).__name__}
    devices.agree("the end")
    with np.load(folder / "alone.npz") as alone:
        apart = difference(list(alone.values()), trained.last)
    return {"words": devices.words, "began": began[0], "difference": apart}


def main() -> None:
    what, place, count = sys.argv[1:]
    told = {"mirrored": mirrored, "joined": joined}[what](Path(place), int(count))
    sys.stdout.write(json.dumps(told))
