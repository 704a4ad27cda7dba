"""check(): reads every artifact and run, and says what is not as it was published."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.core.command_hints import on_artifacts
from pipeline.core.errors import DamagedArtifactError
from pipeline.core.progress import Progress
from pipeline.core.text import first_of
from pipeline.store.artifact import KEY, MANIFEST, Artifact, open_artifact
from pipeline.store.folders import entries, size_of
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph
from pipeline.workflow.runs import RECORD, open_run

MOST_FILES = 3
IN_YOUR_HANDS = "mend it yourself, or delete the run's folder, whose links keep what it used"
RUN = re.compile(r"[0-9]{8}-[0-9]{6}-.+")
UNPUBLISHED = (".quarantine", ".scratch", ".staging")
KNOWN = {*graph.NAMES, *UNPUBLISHED, ".claims", ".locks", ".npm", "runs", "README.md"}


class Kind(StrEnum):
    """What is wrong."""

    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
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
    def place(self) -> str:
        return "/".join(filter(None, (self.stage, self.name, self.link)))


@dataclass(frozen=True)
class Findings:
    """What check() found.

    Attributes:
        calls: of this program, by which what is damaged or missing is made anew, or goes.
        remarks: what is no damage.
        unpublished: how many folders and bytes there are of each kind that is not published.
        size_bytes: of all artifacts.
    """

    problems: tuple[Problem, ...]
    calls: tuple[str, ...]
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
    folders = [path for path in folders if _is_of_this_program(path)]
    total = sum(len(names) for path in folders for _, _, names in os.walk(path))
    problems, remarks, size_bytes, number = list[Problem](), list(_strays(store.root)), 0, 0
    with progress.task("checking", total) as task:
        for path in folders:
            found = _look(path, task.advance)
            if isinstance(found, Problem):
                problems.append(found)
            elif found:
                remarks += _unnamed(found)
            number += found is not None
            size_bytes += size_of(path)
    runs = [path for path in entries(store.root / "runs") if _is_of_this_program(path)]
    problems += _runs(store.root, runs)
    return Findings(
        problems=tuple(problems),
        calls=tuple(_calls(store.root, problems, runs)),
        remarks=tuple(remarks),
        unpublished={name: _count(store.root / name) for name in UNPUBLISHED},
        artifacts=number,
        runs=len(runs),
        size_bytes=size_bytes,
    )


def _is_of_this_program(path: Path) -> bool:
    """Whether something in the folder of a stage or of the runs may be an artifact or a run."""
    name, seal = (RUN, RECORD) if path.parent.name == "runs" else (KEY, MANIFEST)
    return bool(name.fullmatch(path.name)) or os.path.lexists(path / seal)


def _calls(root: Path, problems: Iterable[Problem], runs: Sequence[Path]) -> Iterator[str]:
    """Those of `run` by which the latest runs came about that used it; of what none used, `gc`."""
    lost = {(p.stage, p.name) for p in problems if p.kind in (Kind.DAMAGED, Kind.MISSING)}
    for path in reversed(runs) if lost else ():
        with suppress(DamagedArtifactError, OSError):
            run = open_run(path)
            used = lost.intersection((made["stage"], made["key"]) for made in run.record["stages"])
            lost -= used
            forced = [
                word for stage in graph.NAMES for word in ("--force", stage) if stage in dict(used)
            ]
            if forced:
                yield on_artifacts(root, "run", *run.words, *forced)
    if lost:
        yield on_artifacts(root, "gc")


def _look(path: Path, was_read: Callable[[], None]) -> Artifact | Problem | None:
    """Looks again at what seems wrong: a run may have replaced it; None if it is gone."""
    found = _look_once(path, was_read)
    if isinstance(found, Problem):
        return _look_once(path) if _is_there(path) else None
    return found


def _look_once(path: Path, was_read: Callable[[], None] = lambda: None) -> Artifact | Problem:
    stage, name = path.parent.name, path.name
    try:
        return _read(path, was_read)
    except DamagedArtifactError as error:
        return Problem(Kind.DAMAGED, stage, name, str(error))
    except OSError as error:
        file = str(error.filename or "").removeprefix(str(path)).lstrip("/")
        return Problem(Kind.UNREADABLE, stage, name, _unreadable(file, error))


def _unreadable(file: str, error: OSError) -> str:
    said = f"{file} cannot be read now ({error.strerror})".lstrip()
    return f"{said}; give yourself access or check the disk"


def _read(path: Path, was_read: Callable[[], None]) -> Artifact:
    """The artifact in a place, every file of which is as it was published."""
    if path.is_symlink() or not path.is_dir():
        kind = "link" if path.is_symlink() else "file"
        raise DamagedArtifactError(f"a {kind}, not an artifact's folder")
    if not (path / MANIFEST).exists():
        raise DamagedArtifactError(f"has no {MANIFEST}, so it is no artifact")
    try:
        artifact = open_artifact(path)
    except DamagedArtifactError as error:
        raise DamagedArtifactError(str(error).replace(f"{path}/", "")) from error
    if (artifact.stage, artifact.key) != (path.parent.name, path.name):
        raise DamagedArtifactError(f"holds {artifact.stage}/{artifact.key}")
    if found := list(_damaged_files(artifact, was_read)):
        raise DamagedArtifactError(first_of(found, MOST_FILES))
    return artifact


def _damaged_files(artifact: Artifact, was_read: Callable[[], None]) -> Iterator[str]:
    for name in artifact.manifest["files"]:
        try:
            damage = artifact.damage_of(name)
        except FileNotFoundError:
            damage = f"{name} is missing"
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(artifact.path / name)) from error
        if damage:
            yield damage.replace(f"{artifact.path}/", "")
        was_read()


def _unnamed(artifact: Artifact) -> Iterator[str]:
    """Files beside those that the manifest names: no damage, for nothing reads them."""
    path, named = artifact.path, {MANIFEST, *artifact.manifest["files"]}
    present = {
        (Path(folder) / name).relative_to(path).as_posix()
        for folder, _, names in os.walk(path)
        for name in names
    }
    if more := sorted(present - named):
        place, files = f"{path.parent.name}/{path.name}", first_of(more, 1)
        yield f"{place}: {files} not in its manifest; nothing reads it, you may delete it"


def _strays(root: Path) -> Iterator[str]:
    for path in entries(root):
        if path.name not in KNOWN:
            yield f"{path.name}: not of this program; left alone"
    for folder in (*graph.NAMES, "runs"):
        for path in entries(root / folder):
            if not _is_of_this_program(path):
                yield f"{folder}/{path.name}: not of this program; left alone"


def _runs(root: Path, runs: Iterable[Path]) -> Iterator[Problem]:
    missing: dict[tuple[str, str], list[Path]] = {}
    for path in runs:
        try:
            recorded = {each["stage"]: each["key"] for each in open_run(path).record["stages"]}
        except DamagedArtifactError as error:
            if _is_there(path):
                what = str(error).replace(f"{path}/", "")
                yield Problem(Kind.BAD_RUN, "runs", path.name, f"{what}; {IN_YOUR_HANDS}")
            continue
        except OSError as error:
            yield Problem(Kind.UNREADABLE, "runs", path.name, _unreadable(RECORD, error))
            continue
        for stage, key in recorded.items():
            if stage not in graph.NAMES or not KEY.fullmatch(key):
                what = f"names {stage}/{key}, no artifact; {IN_YOUR_HANDS}"
                yield Problem(Kind.BAD_RUN, "runs", path.name, what)
                continue
            target = Path("../..") / stage / key
            if _target(path / stage) != target and _is_there(path):
                what = f"should link to {target}, as run.json says; {IN_YOUR_HANDS}"
                yield Problem(Kind.BAD_LINK, "runs", path.name, what, stage)
            if not _is_there(root / stage / key):
                missing.setdefault((stage, key), []).append(path)
    yield from _missing(root, missing)


def _missing(root: Path, missing: Mapping[tuple[str, str], Sequence[Path]]) -> Iterator[Problem]:
    """What is not there at a second look: a run that replaces it has it away for a moment."""
    for (stage, key), runs in missing.items():
        names = [path.name for path in runs if _is_there(path)]
        if names and not _is_there(root / stage / key):
            users = first_of(names[::-1], 1)
            yield Problem(Kind.MISSING, stage, key, f"not there, but run {users} used it")


def _is_there(path: Path) -> bool:
    """Unlike os.path.lexists(), not False because the folder around it cannot be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _target(link: Path) -> Path | None:
    return link.readlink() if link.is_symlink() else None


def _count(folder: Path) -> tuple[int, int]:
    return len(entries(folder)), size_of(folder)
