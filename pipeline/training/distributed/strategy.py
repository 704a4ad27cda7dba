"""Which devices train together: one, all of this machine, or those of several machines."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import tensorflow as tf

from pipeline.config.schema import PipelineConfig, TrainSection
from pipeline.config.train.tf_config import Cluster, job_of
from pipeline.core.errors import ConfigError, StageError
from pipeline.training.checkpoint import Checkpoint, CheckpointFile


@dataclass(frozen=True)
class Devices:
    """What a training runs on.

    Attributes:
        words: for a person: `none`, or what kind of strategy on what.
        strategy: TensorFlow's; None where one device trains alone.
        job: the other processes that take part; None where none do.
    """

    words: str = "none"
    strategy: tf.distribute.Strategy | None = None
    job: Cluster | None = None

    @property
    def writes(self) -> bool:
        """Whether this process keeps what others may go on from: one of a job does."""
        return self.job is None or self.job.is_chief

    def checkpoints(self, folder: Path) -> CheckpointFile:
        """Where training goes on from; only one process of a job writes there."""
        return CheckpointFile(folder) if self.writes else ReadOnly(folder)

    def agree(self, text: str) -> None:
        """Compares a text with those of the others in the job.

        Raises:
            StageError: they differ.
        """
        if self.strategy is None or self.job is None:
            return
        token = int(sha256(text.encode()).hexdigest()[:6], 16)

        @tf.function
        def gather() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_gather(tf.identity(tf.constant([token])), axis=0)

        found = self.strategy.experimental_local_results(self.strategy.run(gather))[0]
        if set(found.numpy().tolist()) != {token}:
            raise StageError(
                f"train: {self.job.name} has other inputs, another precision or another "
                "checkpoint than the rest; call the same command with the same code on all, with "
                "--artifacts on a disk that they share, and train.precision other than auto"
            )

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


class ReadOnly(CheckpointFile):
    """Checkpoints that another process writes."""

    def write(self, checkpoint: Checkpoint) -> None:
        pass


def choose_devices(section: TrainSection) -> Devices:
    """Obeys `train.strategy`; `auto` takes what there is, unless the config needs one alone.

    In a job it waits until all its processes are there; nothing of TensorFlow may run before.

    Raises:
        ConfigError: the config asks for several devices, and there is one.
    """
    if job := job_of(section):
        return _joined(job)
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    wants_one = section.strategy == "none" or (
        section.strategy == "auto" and section.needs_one_device
    )
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


def _joined(job: Cluster) -> Devices:
    kinds = tf.distribute.experimental.CommunicationImplementation
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=kinds.AUTO if has_gpu else kinds.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    words = f"multi_worker on {len(job.workers)} workers"
    if strategy.num_replicas_in_sync > len(job.workers):
        words += f" with {strategy.num_replicas_in_sync} GPUs"
    return Devices(words, strategy, job)
