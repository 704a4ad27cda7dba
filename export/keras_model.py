"""Loads the trained model in float32 and writes it as a SavedModel with clean names."""

import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@cache
def load_float32(path: Path) -> "keras.Model":
    """Loads `model.keras`; a model with a mixed-precision policy comes back in float32.

    Its weights are float32 in either case, so nothing is rounded. A process that writes several
    formats loads the model once.
    """
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    if all(layer.dtype_policy.compute_dtype == "float32" for layer in model.layers):
        return model
    rebuilt = type(model).from_config(_with_float32_policies(model.get_config()))
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def _with_float32_policies(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {key: _with_float32_policies(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_float32_policies(value) for value in config)
    return config


def input_spec(model: "keras.Model", batch: int | None) -> "tf.TensorSpec":
    import tensorflow as tf

    return tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name="image")


def write_saved_model(model: "keras.Model", folder: Path, batch: int | None) -> None:
    """Writes a SavedModel whose only signature takes `image` and gives `probabilities`.

    The archive tracks the variables that the signature uses; if it tracked the model as well, it
    would store each twice. The folder appears under its name when it is whole, never before.
    """
    import keras

    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        lambda image: {"probabilities": model(image, training=False)},
        input_signature=[input_spec(model, batch)],
    )
    archive.write_out(unfinished, verbose=False)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
