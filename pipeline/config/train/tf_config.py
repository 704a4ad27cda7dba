"""Which part of a job on several machines this process is: what `TF_CONFIG` says."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from pipeline.config.base import Address, Section
from pipeline.config.schema import TrainSection
from pipeline.core.errors import ConfigError

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
        has_chief: whether `TF_CONFIG` calls the first one so, and counts workers behind it.
    """

    workers: tuple[str, ...]
    index: int
    has_chief: bool = False

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @property
    def name(self) -> str:
        """What to call this process: as `TF_CONFIG` does."""
        if self.has_chief and self.is_chief:
            return "chief"
        return f"worker with index {self.index - self.has_chief}"

    @property
    def address(self) -> str:
        return self.workers[self.index]

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(a for i, a in enumerate(self.workers) if i != self.index)


def job_of(section: TrainSection, environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """The job whose workers are to train together, or None where this process trains alone.

    Raises:
        ConfigError: `TF_CONFIG` is wrong, or missing where the config needs it.
    """
    job = _job(section, environ)
    if job is None and section.strategy == "multi_worker" and not section.model_file:
        found = "names one worker" if environ.get(VARIABLE) else "is not set"
        raise ConfigError(
            f"train.strategy is multi_worker, but the environment variable {VARIABLE} {found}; "
            f"expected two or more, such as {EXAMPLE}"
        )
    return job


def is_assistant(section: TrainSection) -> bool:
    """Whether another process of a job publishes what this one trains; without a job, none does.

    Raises:
        ConfigError: `TF_CONFIG` is wrong.
    """
    job = _job(section, os.environ)
    return job is not None and not job.is_chief


def _job(section: TrainSection, environ: Mapping[str, str]) -> Cluster | None:
    """The job that the environment names, if the config lets several machines train."""
    is_alone = section.strategy == "auto" and section.needs_one_device
    is_open = section.strategy in ("auto", "multi_worker") and not is_alone
    if section.model_file or not is_open or not environ.get(VARIABLE):
        return None
    cluster = _read(environ[VARIABLE])
    return cluster if len(cluster.workers) > 1 else None


def _number(value: Any) -> Any:
    """The index that a text holds, which TensorFlow takes too."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class _Jobs(Section):
    chief: Annotated[tuple[Address, ...], Field(max_length=1)] = ()
    worker: tuple[Address, ...] = ()


class _Task(Section, extra="ignore"):
    type: Literal["chief", "worker"]
    index: Annotated[int, Field(ge=0), BeforeValidator(_number)]


class _Said(Section, extra="ignore"):
    """What `TF_CONFIG` holds, as far as it is read here; other programs may keep more there."""

    cluster: _Jobs
    task: _Task | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        return (*self.cluster.chief, *self.cluster.worker)

    @model_validator(mode="after")
    def _tells_who_this_is(self) -> "_Said":
        if not self.addresses:
            raise ValueError("cluster names no worker")
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError("cluster names an address twice")
        if self.task is None:
            if len(self.addresses) > 1:
                raise ValueError("task is missing, which says which of the workers this is")
        elif self.task.index >= len(getattr(self.cluster, self.task.type)):
            raise ValueError(f"cluster has no {self.task.type} with index {self.task.index}")
        return self


def _read(text: str) -> Cluster:
    try:
        said = _Said.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            f"environment variable {VARIABLE}: {_first(error)}; expected {EXAMPLE}"
        ) from error
    chiefs = len(said.cluster.chief)
    task = said.task or _Task(type="worker", index=0)
    index = task.index + (chiefs if task.type == "worker" else 0)
    return Cluster(said.addresses, index, has_chief=bool(chiefs))


def _first(error: ValidationError) -> str:
    """What is wrong, in words: what stands where."""
    found = error.errors(include_url=False)[0]
    where = ".".join(map(str, found["loc"]))
    said = {
        "missing": f"{where} is missing",
        "extra_forbidden": f"{where}: only chief and worker train here",
        "value_error": ": ".join(filter(None, [where, str(found.get("ctx", {}).get("error"))])),
    }
    otherwise = f"{where or 'all of it'} is {found['input']!r} ({found['msg']})"
    return said.get(found["type"], otherwise)
