"""Which part of a job on several machines this process is: what `TF_CONFIG` says."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config import TrainSection
from pipeline.errors import ConfigError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}, '
    "with another index on each machine"
)


@dataclass(frozen=True)
class Cluster:
    """The processes of a job.

    Attributes:
        workers: the address of each, `host:port`; the first is the chief, who alone publishes.
        index: which of them this process is.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @property
    def name(self) -> str:
        """What to call this process."""
        return f"worker {self.index + 1} of {len(self.workers)}"

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(a for i, a in enumerate(self.workers) if i != self.index)


def job_of(section: TrainSection, environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """The job whose workers are to train together, or None where this process trains alone.

    Raises:
        ConfigError: `TF_CONFIG` is wrong, or missing where the config needs it.
    """
    is_wanted = section.strategy == "multi_worker"
    if section.model_file or not (
        is_wanted or (section.strategy == "auto" and not section.needs_one_device)
    ):
        return None
    cluster = _read(environ[VARIABLE]) if environ.get(VARIABLE) else None
    if cluster and len(cluster.workers) > 1:
        return cluster
    if is_wanted:
        found = "names one worker" if cluster else "is not set"
        raise ConfigError(
            f"train.strategy is multi_worker, but the environment variable {VARIABLE} {found}; "
            f"expected two or more, such as {EXAMPLE}"
        )
    return None


def is_assistant(section: TrainSection) -> bool:
    """Whether another process of the job publishes what this one trains."""
    job = job_of(section)
    return job is not None and not job.is_chief


def _read(text: str) -> Cluster:
    try:
        values = json.loads(text)
        workers, task = _addresses(values["cluster"]), values.get("task", {})
        chiefs = len(values["cluster"].get("chief", ()))
        offset = {"chief": 0, "worker": chiefs}[task.get("type", "worker")]
        cluster = Cluster(workers, offset + int(task.get("index", 0)))
        if not 0 <= cluster.index < len(workers):
            raise ValueError(f"it has no worker {task.get('index')}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"environment variable {VARIABLE}: cannot be used ({error}); expected {EXAMPLE}"
        ) from error
    return cluster


def _addresses(cluster: Mapping[str, Any]) -> tuple[str, ...]:
    others = set(cluster) - {"chief", "worker"}
    if others:
        raise ValueError(f"it names {', '.join(sorted(others))}, and only workers train here")
    found = tuple(str(a) for kind in ("chief", "worker") for a in cluster.get(kind, ()))
    if not found or not all(a.rpartition(":")[2].isdigit() for a in found):
        raise ValueError("each worker needs an address, host:port")
    return found
