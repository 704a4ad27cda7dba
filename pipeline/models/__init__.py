"""Presets: one file each.

A preset takes pixels 0..255 in an input named `image`, normalises them itself, and ends in a
float32 softmax layer named `probabilities`.
"""

from typing import Any, Protocol

from pipeline.config.schema import ModelSection


class Preset(Protocol):
    """A module that makes a network."""

    @property
    def Options(self) -> type[ModelSection]:  # noqa: N802
        """The section `model` with this preset's options; `preset` takes its file's name alone."""

    def build(self, options: Any, image_shape: tuple[int, int, int], num_classes: int) -> Any:
        """The network, a `keras.Model`, with random weights; the seed is set.

        Raises:
            ConfigError: the images are too small for it.
        """
