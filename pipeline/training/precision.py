"""How a training computes: the precision, compiled or not, as measured; the same bits or not."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

from pipeline.config.schema import PipelineConfig, TrainSection
from pipeline.core.environment import processor
from pipeline.core.processes import cores
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.training.create_model import create_model

TENSOR_CORES = (7, 0)
BF16_FLAGS = ("avx512_bf16", "amx_bf16")
PROBE_STEPS = 8
WORTH_IT = 0.95
UNTIMED = "nothing is timed with train.deterministic"


@dataclass(frozen=True)
class Device:
    """What training runs on.

    Attributes:
        kind: `gpu` or `cpu`.
        name: as its maker calls it.
        compute_capability: of an NVIDIA GPU, such as (8, 0).
        has_bf16: whether a CPU has bfloat16 instructions.
    """

    kind: str
    name: str
    compute_capability: tuple[int, int] | None = None
    has_bf16: bool = False


@dataclass(frozen=True)
class Execution:
    """How to train, and why so."""

    policy: str
    jit_compile: bool
    reason: str


def find_device() -> Device:
    """The first GPU, or else the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        name = details.get("device_name", "GPU")
        return Device("gpu", name, details.get("compute_capability"))
    return Device("cpu", processor(), has_bf16=cpu_has_bf16(Path("/proc/cpuinfo")))


def cpu_has_bf16(cpuinfo: Path) -> bool:
    try:
        flags = cpuinfo.read_text(encoding="utf-8").split()
    except OSError:
        return False
    return any(flag in flags for flag in BF16_FLAGS)


Probe = Callable[[str, bool], float]
"""Gives the seconds of one training step under a policy, with or without XLA."""


def choose_execution(
    section: TrainSection, device: Device, probe: Probe, memory: "ProbeMemory"
) -> Execution:
    """Obeys the config; where it says `auto`, asks the device, or measures once per machine.

    With `train.deterministic` nothing is measured, for two measurements may differ.
    """
    if section.fine_tuning.trains_nothing:
        return Execution("float32", False, f"{device.name}: nothing is trained")
    policy: str = section.precision
    why = "as configured"
    jit = section.jit_compile
    if policy == "auto" and section.float32:
        policy, why = "float32", section.float32
    if policy == "auto":
        policy, why = _choose_policy(device, probe, memory, section.deterministic)
    if jit == "auto" and section.deterministic:
        jit, why = False, f"{why}; no XLA, since {UNTIMED}"
    elif jit == "auto":
        jit, why_jit = _choose_jit(device, policy, probe, memory)
        why = f"{why}; {why_jit}"
    return Execution(policy, bool(jit), f"{device.name}: {why}")


def _choose_policy(
    device: Device, probe: Probe, memory: "ProbeMemory", deterministic: bool
) -> tuple[str, str]:
    if device.kind == "gpu":
        has_tensor_cores = (device.compute_capability or (0, 0)) >= TENSOR_CORES
        if has_tensor_cores:
            return "mixed_float16", "has tensor cores"
        return "float32", "has no tensor cores"
    if not device.has_bf16:
        return "float32", "has no bfloat16 instructions"
    if deterministic:
        return "float32", UNTIMED
    ratio = memory.ratio(
        f"{device.name} mixed_bfloat16 / float32",
        lambda: probe("mixed_bfloat16", False) / probe("float32", False),
    )
    policy = "mixed_bfloat16" if ratio < WORTH_IT else "float32"
    return policy, f"a bfloat16 step takes {ratio:.2f} times as long as a float32 step"


def _choose_jit(
    device: Device, policy: str, probe: Probe, memory: "ProbeMemory"
) -> tuple[bool, str]:
    try:
        ratio = memory.ratio(
            f"{device.name} {policy} XLA / no XLA",
            lambda: probe(policy, True) / probe(policy, False),
        )
    except tf.errors.OpError as error:
        return False, f"XLA cannot compile a step ({str(error).splitlines()[0]})"
    return ratio < WORTH_IT, f"a step with XLA takes {ratio:.2f} times as long as without"


def decide_execution(
    config: PipelineConfig, image_shape: tuple[int, int, int], num_classes: int
) -> Execution:
    """Precision and XLA for the config's network on this machine."""
    probe = step_probe(
        lambda policy: create_model(config, image_shape, num_classes, policy),
        image_shape,
        num_classes,
        config.train.batch_size,
    )
    memory = machine_memory(f"{config.model.preset} in batches of {config.train.batch_size}")
    return choose_execution(config.train, find_device(), probe, memory)


class ProbeMemory:
    """Ratios measured on this machine, kept in one small JSON file if it can be written."""

    def __init__(self, path: Path, subject: str) -> None:
        """Opens the file; ratios are remembered for the subject, such as a network."""
        self._path, self._subject = path, subject

    def ratio(self, name: str, measure: Callable[[], float]) -> float:
        """The remembered ratio, or a new measurement."""
        name = f"{self._subject}: {name}, TensorFlow {tf.__version__}"
        known = self._read()
        if name not in known:
            known = {**known, name: round(measure(), 3)}
            with suppress(OSError):
                self._write(known)
        return float(known[name])

    def _read(self) -> dict[str, float]:
        try:
            return {str(key): float(value) for key, value in read_sealed(self._path).items()}
        except (OSError, ValueError, TypeError):
            return {}

    def _write(self, values: Mapping[str, float]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(f".{os.getpid()}")
        write_sealed(temporary, values)
        temporary.replace(self._path)


def machine_memory(subject: str) -> ProbeMemory:
    """The memory of this user on this machine."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return ProbeMemory(Path(cache) / "evenkeel" / "probes.json", subject)


def step_probe(
    create: Callable[[str], Any], image_shape: tuple[int, ...], num_classes: int, batch_size: int
) -> Probe:
    """A probe that trains `create(policy)` for some steps on noise."""
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (batch_size, *image_shape)).astype("float32")
    labels = np.eye(num_classes, dtype="float32")[random.integers(0, num_classes, batch_size)]

    def probe(policy: str, jit_compile: bool) -> float:
        model = create(policy)
        model.compile("sgd", "categorical_crossentropy", jit_compile=jit_compile)
        model.train_on_batch(images, labels)
        seconds = []
        for _ in range(PROBE_STEPS):
            start = perf_counter()
            model.train_on_batch(images, labels)
            seconds.append(perf_counter() - start)
        return float(np.median(seconds))

    return probe


@contextmanager
def deterministic(is_wanted: bool) -> Iterator[None]:
    """While the block runs, TensorFlow's operations are deterministic if that is wanted.

    TensorFlow has no public way to end it, and later stages need not pay for it.
    """
    if not is_wanted:
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        tensorflow_config.disable_op_determinism()


def machine() -> str:
    """What the bits of a deterministic training depend on, beside the libraries."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return f"{find_device().name} with {threads or cores()} threads"
