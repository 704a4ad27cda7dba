"""Which devices train together: one, all of this machine, or those of several machines."""

from dataclasses import dataclass
from functools import cache

import tensorflow as tf

from pipeline.config import PipelineConfig, TrainSection
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Devices:
    """What a training runs on.

    Attributes:
        words: for a person: `none`, or what kind of strategy on what.
        strategy: TensorFlow's; None where one device trains alone.
    """

    words: str = "none"
    strategy: tf.distribute.Strategy | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """What is to be said before training begins."""
        return (f"{self.words}, each with its part of every batch",) if self.strategy else ()

    def allow(self, config: PipelineConfig) -> PipelineConfig:
        """The config without a choice that several devices do not leave: they train without XLA."""
        if self.strategy is None:
            return config
        train = config.train.model_copy(update={"jit_compile": False})
        return config.model_copy(update={"train": train})

    def place_of(self, machine: str) -> str:
        """The machine, and the devices if there are several: what bits depend on."""
        return f"{machine}, {self.words}" if self.strategy else machine


def choose_devices(section: TrainSection) -> Devices:
    """Obeys `train.strategy`; `auto` takes all GPUs unless the config needs one alone.

    Raises:
        ConfigError: the config asks for several devices, and there is one.
    """
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    wants_one = section.strategy == "none" or (section.strategy == "auto" and section.alone)
    if wants_one or (section.strategy == "auto" and len(gpus) < 2):
        return Devices()
    names = gpus or [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(names) < 2:
        raise ConfigError(
            "train.strategy is mirrored, but TensorFlow finds one device to train on here "
            f"({names[0].removeprefix('/device:')}); set train.strategy=auto"
        )
    kind = "GPUs" if gpus else "CPU devices"
    return Devices(f"mirrored on {len(names)} {kind}", _mirrored(tuple(names)))


@cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for the whole process: TensorFlow numbers the sums of each from 1, and mixes them up."""
    return tf.distribute.MirroredStrategy(names)
