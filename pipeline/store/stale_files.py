"""sweep(): clears away what processes that have ended were writing in the artifacts folder."""

import re
import shutil
from collections.abc import Container, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from pipeline.core.errors import DamagedArtifactError
from pipeline.store.artifact import MANIFEST, open_artifact
from pipeline.store.folders import entries
from pipeline.store.process_owner import owner_in, this_process

REPLACED = ".replaced"
UNKNOWN = "unknown"
OF_AN_ARTIFACT = re.compile(r"[a-z]+-[0-9a-f]{16}")


def sweep(root: Path, machines: Container[str] = ()) -> None:
    """Removes the staging folders, claims and locks of ended processes; leaves those of others.

    An artifact that was on its way out when the process ended is put back in its place, if the
    place is free. What a process would go on from is removed if that is published.

    Args:
        root: the artifacts folder.
        machines: other machines whose processes have all ended.
    """
    for path in left_in(root):
        if not has_ended(path, machines):
            continue
        if path.name.endswith(REPLACED):
            _put_back(path, root)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    locks = {path.stem for path in entries(root / ".locks")}
    names = locks | {path.name for path in entries(root / ".scratch")}
    for name in filter(OF_AN_ARTIFACT.fullmatch, names):
        with suppress(OSError):  # a lock that is held is one: its process is at work
            _sweep_unlocked(root, name)


def _sweep_unlocked(root: Path, name: str) -> None:
    from filelock import FileLock

    path = root / ".locks" / f"{name}.lock"
    path.parent.mkdir(exist_ok=True)
    with FileLock(path, timeout=0):
        scratch, (stage, _, key) = root / ".scratch" / name, name.rpartition("-")
        if not _is_worth_keeping(scratch, root / stage / key / MANIFEST):
            shutil.rmtree(scratch, ignore_errors=True)
        path.unlink(missing_ok=True)


def _is_worth_keeping(scratch: Path, manifest: Path) -> bool:
    """Whether work is in it that is not published: a forced run writes after the manifest."""
    published = manifest.stat().st_mtime_ns if manifest.exists() else 0
    files = filter(Path.is_file, scratch.rglob("*"))
    return any(path.stat().st_mtime_ns >= published for path in files)


def left_in(root: Path) -> Iterator[Path]:
    """What processes are writing, or were, and what they claim."""
    return chain(entries(root / ".staging"), entries(root / ".claims"))


def has_ended(path: Path, machines: Container[str] = ()) -> bool:
    """Whether the process has ended to which a staging folder or a claim belongs."""
    owner = owner_in(path.name)
    if owner is not None and owner.machine == this_process().machine:
        return owner.has_ended
    return machine_of(path) in machines


def machine_of(path: Path) -> str:
    """The machine that a staging folder or a claim comes from."""
    owner = owner_in(path.name)
    return owner.machine if owner else UNKNOWN


def _put_back(path: Path, root: Path) -> None:
    with suppress(DamagedArtifactError, OSError):
        artifact = open_artifact(path)
        target = root / artifact.stage / artifact.key
        if not target.exists() and artifact.damage is None:
            path.rename(target)
