"""check(): reads every artifact and run, and says what is not as it was published."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline import graph
from pipeline.artifacts.artifact import MANIFEST, Artifact, open_artifact
from pipeline.artifacts.store import ArtifactStore
from pipeline.artifacts.usage import entries
from pipeline.errors import DamagedArtifactError
from pipeline.progress import Progress
from pipeline.runs import open_run

MOST_FILES = 3
KEY = re.compile(r"[0-9a-f]{16}")
UNPUBLISHED = (".quarantine", ".scratch", ".staging")
KNOWN = {*graph.NAMES, *UNPUBLISHED, ".claims", ".locks", ".npm", "runs", "README.md"}


class Kind(StrEnum):
    """What is wrong, by what mends it."""

    DAMAGED = "damaged"
    MISSING = "missing"
    BAD_LINK = "bad link"
    BAD_RUN = "bad run"


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was published.

    Attributes:
        stage: the folder in the artifacts folder; `runs` for a run.
        name: the folder in that: a key, or the name of a run.
        link: the stage whose link in the run is meant, if one is.
    """

    kind: Kind
    stage: str
    name: str
    what: str
    link: str = ""

    @property
    def use(self) -> tuple[str, str]:
        return self.stage, self.name

    @property
    def place(self) -> str:
        return "/".join(filter(None, (self.stage, self.name, self.link)))


@dataclass(frozen=True)
class Findings:
    """What check() found.

    Attributes:
        remarks: what is no damage.
        unpublished: how many folders and bytes there are of each kind that is not published.
        size_bytes: of all artifacts.
    """

    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]
    unpublished: Mapping[str, tuple[int, int]]
    artifacts: int
    runs: int
    size_bytes: int


def check(store: ArtifactStore, progress: Progress) -> Findings:
    """Reads every file of every artifact; changes nothing.

    Raises:
        ConfigError: there is no such artifacts folder.
    """
    store.require()
    folders = [path for name in graph.NAMES for path in entries(store.root / name)]
    total = sum(len(names) for path in folders for _, _, names in os.walk(path))
    problems, remarks, size_bytes = [], list(_strays(store.root)), 0
    with progress.task("checking", total) as task:
        for path in folders:
            if what := damage_in(path, task.advance):
                # A run may have replaced it while it was read.
                what = damage_in(path) if os.path.lexists(path) else None
            if what:
                problems.append(Problem(Kind.DAMAGED, path.parent.name, path.name, what))
            else:
                remarks += _unnamed(path)
            size_bytes += _size(path)
    problems += _runs(store.root)
    return Findings(
        problems=tuple(problems),
        remarks=tuple(remarks),
        unpublished={name: _count(store.root / name) for name in UNPUBLISHED},
        artifacts=len(folders),
        runs=len(entries(store.root / "runs")),
        size_bytes=size_bytes,
    )


def damage_in(path: Path, was_read: Callable[[], None] = lambda: None) -> str | None:
    """How what is in an artifact's place is not the artifact, or None; reads every file."""
    if path.is_symlink() or not path.is_dir():
        return f"a {'link' if path.is_symlink() else 'file'}, not an artifact's folder"
    if not (path / MANIFEST).exists():
        return f"has no {MANIFEST}, so it is no artifact"
    try:
        artifact = open_artifact(path)
    except DamagedArtifactError as error:
        return str(error).replace(f"{path}/", "")
    if (artifact.stage, artifact.key) != (path.parent.name, path.name):
        return f"holds {artifact.stage}/{artifact.key}"
    found = list(_damaged_files(artifact, was_read))
    more = f", and {len(found) - MOST_FILES} more" if len(found) > MOST_FILES else ""
    return ", ".join(found[:MOST_FILES]) + more or None


def _damaged_files(artifact: Artifact, was_read: Callable[[], None]) -> Iterator[str]:
    for name in artifact.manifest["files"]:
        try:
            damage = artifact.damage_of(name)
        except OSError as error:
            damage = f"{name} cannot be read ({error.strerror})"
        if damage:
            yield damage.replace(f"{artifact.path}/", "")
        was_read()


def _unnamed(path: Path) -> Iterator[str]:
    """Files beside those that the manifest names: no damage, for nothing reads them."""
    named = {MANIFEST, *open_artifact(path).manifest["files"]}
    present = {
        (Path(folder) / name).relative_to(path).as_posix()
        for folder, _, names in os.walk(path)
        for name in names
    }
    if more := sorted(present - named):
        count = f" and {len(more) - 1} more" if len(more) > 1 else ""
        place = f"{path.parent.name}/{path.name}"
        yield f"{place}: {more[0]}{count} not in its manifest; nothing reads it, you may delete it"


def _strays(root: Path) -> Iterator[str]:
    for path in entries(root):
        if path.name not in KNOWN:
            yield f"{path.name}: not of this program; left alone"


def _runs(root: Path) -> Iterator[Problem]:
    missing: dict[tuple[str, str], list[str]] = {}
    for path in entries(root / "runs"):
        try:
            recorded = {each["stage"]: each["key"] for each in open_run(path).record["stages"]}
        except DamagedArtifactError as error:
            what = str(error).replace(f"{path}/", "")
            yield Problem(Kind.BAD_RUN, "runs", path.name, what)
            continue
        for stage, key in recorded.items():
            if stage not in graph.NAMES or not KEY.fullmatch(key):
                yield Problem(Kind.BAD_RUN, "runs", path.name, f"names {stage}/{key}, no artifact")
                continue
            if _target(path / stage) != target_of(stage, key):
                what = f"should link to {stage}/{key}, as run.json says"
                yield Problem(Kind.BAD_LINK, "runs", path.name, what, stage)
            if not os.path.lexists(root / stage / key):
                missing.setdefault((stage, key), []).append(path.name)
    for (stage, key), names in missing.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Problem(Kind.MISSING, stage, key, f"not there, but run {names[-1]}{more} used it")


def target_of(stage: str, key: str) -> Path:
    """What a run's link to an artifact says."""
    return Path("../..") / stage / key


def _target(link: Path) -> Path | None:
    return link.readlink() if link.is_symlink() else None


def _count(folder: Path) -> tuple[int, int]:
    return len(entries(folder)), _size(folder)


def _size(path: Path) -> int:
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files if os.path.lexists(file))
