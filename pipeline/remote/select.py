"""choose(): which runs and artifacts are to be copied, of those that a place holds."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pipeline.core.errors import ConfigError, DamagedArtifactError, MissingArtifactError
from pipeline.store.artifact import Artifact
from pipeline.workflow import graph
from pipeline.workflow.references import made_from
from pipeline.workflow.runs import RECORD, Run, named

Use = tuple[str, str]


class Catalog(ABC):
    """The artifacts and runs of a place.

    Attributes:
        name: as it is shown.
        remedy: what to do about a damaged run.
        lacks_runs: what to do where there is none.
    """

    remedy: str
    lacks_runs: str

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: dict[Use, Artifact | None] = {}

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact, which may be trusted; None if there is none."""
        if (stage, key) not in self._found:
            self._found[stage, key] = self._read(stage, key)
        return self._found[stage, key]

    @abstractmethod
    def _read(self, stage: str, key: str) -> Artifact | None: ...

    @abstractmethod
    def uses(self) -> Iterable[Use]:
        """Every artifact, by stage and key."""

    @abstractmethod
    def runs(self) -> Sequence[Run]:
        """Every readable run, oldest first."""

    @abstractmethod
    def damaged_runs(self) -> Sequence[str]:
        """The names of those whose record is there and not as it was written, in order."""


@dataclass(frozen=True)
class Choice:
    """What the user asked for; the latest run if nothing is set.

    Attributes:
        run: a run's name, a part of it, or its config's.
        artifact: stage and key of one artifact, without what it was made from.
    """

    run: str | None = None
    artifact: Use | None = None
    everything: bool = False


@dataclass(frozen=True)
class Chosen:
    """What is to be copied; an artifact stands behind what it was made from."""

    artifacts: tuple[Artifact, ...]
    runs: tuple[Run, ...] = ()


def choose(place: Catalog, choice: Choice) -> Chosen:
    """What is asked for; with a run all that it used, and what that was made from.

    Raises:
        ConfigError: there is no such run.
        MissingArtifactError: there is no such artifact, or not all that the run used.
        DamagedArtifactError: something is not as it was published.
    """
    if choice.artifact:
        return Chosen((_required(place, choice.artifact, "it was asked for"),))
    if choice.everything:
        runs = place.runs()
        found = [place.find(*use) for use in place.uses()]
        artifacts = [artifact for artifact in found if artifact]
    else:
        runs, artifacts = [_run(place, choice.run)], []
    for run in runs:
        uses = [(made["stage"], made["key"]) for made in run.record["stages"]]
        artifacts += [_required(place, use, f"run {run.name} used it") for use in uses]
    return Chosen(_with_inputs(place, artifacts), tuple(runs))


def _run(place: Catalog, name: str | None) -> Run:
    runs = place.runs()
    found = named(runs, name) if name else runs
    damaged = [each for each in place.damaged_runs() if (name or "") in each]
    if damaged and (not found or damaged[-1] > found[-1].name != name):
        other = ", or choose another with --run" if runs else ""
        raise DamagedArtifactError(
            f"{place.name}/runs/{damaged[-1]}/{RECORD}: is there, but damaged; "
            f"{place.remedy}{other}"
        )
    if found:
        return found[-1]
    if runs:
        raise ConfigError(f"{place.name}: no run {name!r}; the latest there is {runs[-1].name}")
    if next(iter(place.uses()), None):
        raise ConfigError(
            f"{place.name}: no run, but artifacts; --all copies them, --stage with --key one"
        )
    raise ConfigError(f"{place.name}: no run; {place.lacks_runs}")


def _required(place: Catalog, use: Use, why: str) -> Artifact:
    found = place.find(*use)
    if found is None:
        raise MissingArtifactError(
            f"{place.name}: {'/'.join(use)} is not there, or not whole, but {why}"
        )
    return found


def _with_inputs(place: Catalog, artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts, and what they were made from as far as it is there as it was then."""
    waiting = list(artifacts)
    found: dict[Use, Artifact | None] = {(each.stage, each.key): each for each in waiting}
    while waiting:
        for use, identity in _made_from(waiting.pop()):
            if use in found:
                continue
            there = place.find(*use)
            is_same = there is not None and identity in (None, there.identity)
            found[use] = there if is_same else None
            if there and is_same:
                waiting.append(there)
    return _in_order(place, [artifact for artifact in found.values() if artifact])


def _made_from(artifact: Artifact) -> list[tuple[Use, Any]]:
    """What an artifact was made from, with its identity then where that is known."""
    inputs = artifact.manifest["inputs"]
    return [(use, inputs.get(use[0])) for use in made_from(artifact.manifest)]


def _in_order(place: Catalog, artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts, each behind those that it was made from.

    Raises:
        DamagedArtifactError: two say that they were made from each other.
    """
    by_stage = sorted(artifacts, key=lambda each: (graph.NAMES.index(each.stage), each.key))
    known = {(each.stage, each.key): each for each in by_stage}

    def needs(artifact: Artifact) -> Iterator[Use]:
        for use, identity in _made_from(artifact):
            if use in known and identity in (None, known[use].identity):
                yield use

    try:
        order = [*TopologicalSorter({u: needs(each) for u, each in known.items()}).static_order()]
    except CycleError as error:
        names = ", ".join("/".join(use) for use in error.args[1][:2])
        raise DamagedArtifactError(
            f"{place.name}: {names} say that they were made from each other; refused"
        ) from error
    return tuple(known[use] for use in order)
