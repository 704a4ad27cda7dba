"""The same grey model behind an input of three channels, for readers that know RGB alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from export.model_files import model_file

if TYPE_CHECKING:
    import keras

CHANNELS = 3


def publish(path: Path, folder: Path, *, is_trusted: bool) -> Path:
    """Writes a model that averages red, green and blue and asks the grey one; gives its file.

    Args:
        path: the published grey model.
        folder: where the other goes; is made.
        is_trusted: as for `model_file.load_published`.
    """
    model = _averaging(model_file.load_published(path, is_trusted=is_trusted))
    folder.mkdir(exist_ok=True)
    model_file.publish(model, folder, model_file.published_trust(path.parent))
    return folder / model_file.MODEL


def _averaging(model: "keras.Model") -> "keras.Model":
    """A convolution, which every reader has in every number of bits; a mean it may lack."""
    import keras
    import numpy as np

    height, width, _ = model.input_shape[1:]
    image = keras.Input((height, width, CHANNELS), name="image")
    average = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name="average")
    average.build(image.shape)
    average.set_weights([np.full((1, 1, CHANNELS, 1), 1 / CHANNELS)])
    return keras.Model(image, model(average(image)), name="rgb_input")
