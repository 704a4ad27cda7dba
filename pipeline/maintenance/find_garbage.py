"""find_garbage(): what no kept run uses, and why it is there."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.core.command_hints import mends
from pipeline.core.errors import DamagedArtifactError
from pipeline.store.artifact import KEY, Artifact, open_artifact
from pipeline.store.folders import entries, is_folder, size_of
from pipeline.store.process_owner import this_process
from pipeline.store.stale_files import REPLACED, has_ended, left_in, machine_of
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph
from pipeline.workflow.references import made_from
from pipeline.workflow.runs import Run, list_runs

OF_A_KEY = re.compile(rf"({'|'.join(graph.NAMES)})-([0-9a-f]{{16}})")
SET_ASIDE = re.compile(rf"({'|'.join(graph.NAMES)}|runs)-(.+)-\d{{8}}-\d{{6}}-[0-9a-f]{{4}}")

Use = tuple[str, str]


class Kind(StrEnum):
    """Why something goes, in the order in which it is shown; runs go before what they used."""

    OLD_RUN = "old run"
    UNUSED = "unused"
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"
    LEFT_OVER = "left over"


@dataclass(frozen=True)
class Rules:
    """What may go.

    Attributes:
        keep: how many runs of each config and last stage stay, the newest; None for all.
        unfinished: whether what stopped runs would go on from goes too.
        machines: other machines whose processes have all ended.
    """

    keep: int | None = None
    unfinished: bool = False
    machines: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Piece:
    """Something that can be deleted.

    Attributes:
        stage: whose it is; empty for a run.
        key: of the artifact that it is, was or would become; the name of a run.
        made: when, as ISO time; empty if nothing says.
    """

    kind: Kind
    path: Path
    size_bytes: int
    stage: str = ""
    key: str = ""
    config_name: str = ""
    made: str = ""


@dataclass(frozen=True)
class Garbage:
    """What would go, and what stays though no recorded run uses it."""

    pieces: tuple[Piece, ...]
    unfinished: tuple[Piece, ...]
    elsewhere: Mapping[str, int]
    """How many staging folders and claims each other machine has that may be at work."""


def find_garbage(store: ArtifactStore, rules: Rules) -> Garbage:
    """What may go by the rules; changes nothing.

    Raises:
        ConfigError: there is no such artifacts folder.
        DamagedArtifactError: it cannot be known what a kept run needs.
    """
    store.require()
    runs = _runs(store)
    old = _old_runs(runs, rules.keep)
    claimed = store.claimed(rules.machines)
    used = _with_inputs(store, claimed | store.linked({run.name for run in old}))
    artifacts = list(_unused(store, used, _newest(runs)))
    unfinished = [piece for piece in artifacts if piece.kind is Kind.UNFINISHED]
    if not rules.unfinished:
        needed = _with_inputs(store, {(piece.stage, piece.key) for piece in unfinished})
        artifacts = [piece for piece in artifacts if (piece.stage, piece.key) not in needed]
    scratch = [piece for piece in _scratch(store) if (piece.stage, piece.key) not in claimed]
    going_on = [piece for piece in scratch if piece.kind is Kind.UNFINISHED]
    if not rules.unfinished:
        scratch = [piece for piece in scratch if piece.kind is not Kind.UNFINISHED]
    pieces = (
        *map(_old_run, old),
        *artifacts,
        *scratch,
        *_set_aside(store),
        *_left_over(store, used, rules),
    )
    spared = () if rules.unfinished else (*unfinished, *going_on)
    order = list(Kind)
    sorted_pieces = sorted(pieces, key=lambda piece: order.index(piece.kind))
    return Garbage(tuple(sorted_pieces), spared, _elsewhere(store, rules))


def _runs(store: ArtifactStore) -> list[Run]:
    try:
        return list_runs(store)
    except OSError as error:
        raise DamagedArtifactError(
            f"{error.filename}: cannot be read now ({error.strerror}), so it is not known what its "
            "run needs; give yourself access or check the disk, then call this again"
        ) from error


def _old_runs(runs: Sequence[Run], keep: int | None) -> list[Run]:
    """All but the newest of each config that came as far; none if all are kept."""
    if keep is None:
        return []
    groups: dict[Use, list[Run]] = {}
    for run in sorted(runs, key=_moment):
        group = run.record["config_name"], run.record["stages"][-1]["stage"]
        groups.setdefault(group, []).append(run)
    return [run for group in groups.values() for run in group[: max(len(group) - keep, 0)]]


def _moment(run: Run) -> tuple[str, int, str]:
    """Orders runs; those of one second by the number behind their names."""
    return run.record["started"], len(run.name), run.name


def _newest(runs: Sequence[Run]) -> dict[str, str]:
    """When the newest run of each config started."""
    return {run.record["config_name"]: run.record["started"] for run in sorted(runs, key=_moment)}


def _with_inputs(store: ArtifactStore, used: Iterable[Use]) -> set[Use]:
    """These artifacts, and all that they were made from.

    Raises:
        DamagedArtifactError: a manifest that says from what cannot be read.
    """
    found, waiting = set[Use](), list(used)
    while waiting:
        stage, key = use = waiting.pop()
        path = store.root / stage / key
        if use in found or stage not in graph.NAMES or not KEY.fullmatch(key):
            continue
        found.add(use)
        if path.is_dir():
            waiting += _inputs(store, path)
    return found


def _inputs(store: ArtifactStore, path: Path) -> list[Use]:
    try:
        return made_from(open_artifact(path).manifest)
    except DamagedArtifactError as error:
        if not path.is_dir():  # a rival has just deleted it
            return []
        raise DamagedArtifactError(
            f"{error}; so it is not known what it was made from. {mends(store.root)}; or give it "
            "up: delete that folder"
        ) from error
    except OSError as error:
        raise DamagedArtifactError(
            f"{path}: cannot be read now ({error.strerror}), so it is not known what it was made "
            "from; give yourself access or check the disk, then call this again"
        ) from error


def _old_run(run: Run) -> Piece:
    name, started = run.record["config_name"], run.record["started"]
    moment = run.name.replace(f"-{name}", "", 1)
    return Piece(Kind.OLD_RUN, run.path, size_of(run.path), "", moment, name, started)


def _unused(store: ArtifactStore, used: set[Use], newest: Mapping[str, str]) -> Iterator[Piece]:
    for stage in graph.NAMES:
        for path in entries(store.root / stage):
            if (stage, path.name) in used or not KEY.fullmatch(path.name) or not is_folder(path):
                continue
            try:
                artifact = open_artifact(path)
            except DamagedArtifactError:
                yield Piece(Kind.DAMAGED, path, size_of(path), stage, path.name)
            except OSError:  # it may be intact
                continue
            else:
                yield _unused_artifact(artifact, newest)


def _unused_artifact(artifact: Artifact, newest: Mapping[str, str]) -> Piece:
    """Its run was stopped if its config has no later run that is recorded."""
    config = artifact.manifest.get("config")
    name = str(config.get("name", "")) if isinstance(config, dict) else ""
    made, path = str(artifact.manifest["created"]), artifact.path
    kind = Kind.UNFINISHED if made > newest.get(name, "") else Kind.UNUSED
    return Piece(kind, path, size_of(path), path.parent.name, path.name, name, made)


def _scratch(store: ArtifactStore) -> Iterator[Piece]:
    for path in entries(store.root / ".scratch"):
        if (found := OF_A_KEY.fullmatch(path.name)) and is_folder(path):
            stage, key = found.groups()
            is_made = (store.root / stage / key).is_dir()
            kind = Kind.LEFT_OVER if is_made else Kind.UNFINISHED
            yield Piece(kind, path, size_of(path), stage, key)


def _set_aside(store: ArtifactStore) -> Iterator[Piece]:
    for path in entries(store.root / ".quarantine"):
        if found := SET_ASIDE.fullmatch(path.name):
            stage, key = found.groups()
            yield Piece(Kind.DAMAGED, path, size_of(path), stage.replace("runs", ""), key)


def _left_over(store: ArtifactStore, used: set[Use], rules: Rules) -> Iterator[Piece]:
    """What ended processes were writing, but for used artifacts that can be put back."""
    for path in entries(store.root / ".staging"):
        if has_ended(path, rules.machines) and not _comes_back(path, store, used):
            stage, _, rest = path.name.partition("-")
            key = rest.partition(".")[0]
            known = stage if stage in graph.NAMES else ""
            yield Piece(Kind.LEFT_OVER, path, size_of(path), known, key if known else "")


def _comes_back(path: Path, store: ArtifactStore, used: set[Use]) -> bool:
    if not path.name.endswith(REPLACED):
        return False
    try:
        artifact = open_artifact(path)
    except (DamagedArtifactError, OSError) as error:
        return isinstance(error, OSError)
    place = store.root / artifact.stage / artifact.key
    return (artifact.stage, artifact.key) in used and not place.exists()


def _elsewhere(store: ArtifactStore, rules: Rules) -> dict[str, int]:
    """What each other machine may be at work on."""
    here, counts = this_process().machine, dict[str, int]()
    for path in left_in(store.root):
        machine = machine_of(path)
        if machine != here and machine not in rules.machines:
            counts[machine] = counts.get(machine, 0) + 1
    return counts
