"""Makes the network that the config describes, with the weights that its seed decides."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from pipeline.config.schema import PipelineConfig
from pipeline.core import plugins
from pipeline.models import Preset


def create_model(
    config: PipelineConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    policy: str = "float32",
) -> keras.Sequential:
    """Builds `config.model` untrained; sets the seeds of Python, NumPy and Keras on the way.

    Args:
        config: the resolved config.
        image_shape: height, width and channels of an image.
        num_classes: how many probabilities the model gives.
        policy: the dtype policy of its layers; the weights are the same under each.

    Raises:
        ConfigError: the images are too small for the preset.
    """
    preset: Preset = plugins.load(plugins.MODELS, config.model.preset)
    keras.utils.set_random_seed(config.seed)
    with _dtype_policy(policy):
        return preset.build(config.model, image_shape, num_classes)


@contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
