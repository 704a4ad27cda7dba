"""The same grey model behind an input of three channels, for readers that know RGB alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from export.keras_files import load

if TYPE_CHECKING:
    import keras

CHANNELS = 3
# ITU-R BT.601, by which Pillow makes the grey that the model was trained on of colour.
LUMA = (0.299, 0.587, 0.114)


def publish(path: Path, folder: Path, *, is_trusted: bool) -> Path:
    """Writes a model that makes grey of red, green and blue and asks the published grey one.

    Returns:
        Its file, in a folder that is made.
    """
    model = _rgb_model(load.load_published(path, is_trusted=is_trusted))
    folder.mkdir(exist_ok=True)
    load.publish(model, folder, load.published_trust(path.parent))
    return folder / load.MODEL


def _rgb_model(model: "keras.Model") -> "keras.Model":
    """A convolution, which every reader has in every number of bits."""
    import keras
    import numpy as np

    height, width, _ = model.input_shape[1:]
    image = keras.Input((height, width, CHANNELS), name="image")
    grey = keras.layers.Conv2D(1, 1, use_bias=False, trainable=False, name="grey")
    grey.build(image.shape)
    grey.set_weights([np.reshape(LUMA, (1, 1, CHANNELS, 1))])
    return keras.Model(image, model(grey(image)), name="rgb_input")
