"""Loads the trained model in float32 and writes it as a SavedModel with clean names."""

import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from export.keras_files.load import load_published

if TYPE_CHECKING:
    import keras

SIGNATURE = "serving_default"


@cache
def load_float32(path: Path, *, is_trusted: bool) -> "keras.Model":
    """Loads the published `model.keras`; one with a mixed-precision policy comes in float32.

    A process that writes several formats loads the model once.
    """
    return load_published(path, is_trusted=is_trusted)


def write_saved_model(model: "keras.Model", folder: Path, batch: int | None) -> None:
    """Writes a SavedModel whose only signature takes `image` and gives `probabilities`.

    The archive tracks the variables that the signature uses; if it tracked the model as well, it
    would store each twice. The folder appears under its name when it is whole, never before.
    """
    import keras
    import tensorflow as tf

    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    image = tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="image")
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE,
        lambda image: {"probabilities": model(image, training=False)},
        input_signature=[image],
    )
    archive.write_out(unfinished, verbose=False)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
