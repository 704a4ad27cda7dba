"""Which artifacts are in use, by runs at work or ended, and how one that is not is deleted.

A run claims, then looks whether what it wants is there; who deletes renames, then looks whether
it was claimed, and gives it back if so. Both do it alone, where the system can lock a folder, and
then nothing that is claimed is away even for a moment.
"""

import errno
import os
import shutil
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.core.durable import MOST_RIVALS, make_folder, sync
from pipeline.core.errors import DamagedArtifactError
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.store.atomic_replace import TAKEN
from pipeline.store.folders import entries
from pipeline.store.stale_files import has_ended

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    descriptor = os.open(root, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def publish_claim(
    root: Path, artifacts: Iterable[tuple[str, str]], folder: Path, place: Path
) -> None:
    """Writes which artifacts a run may use in a staging folder, and renames that to its place."""
    claim = folder / place.name
    write_sealed(claim, {"artifacts": [list(each) for each in artifacts]})
    with _alone(root):
        for _ in range(MOST_RIVALS):
            make_folder(place.parent)
            with suppress(FileNotFoundError):  # another run ended and removed the empty folder
                claim.replace(place)
                return
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(place))


def claimed(root: Path, machines: Container[str] = ()) -> set[tuple[str, str]]:
    """The artifacts, by stage and key, that runs use which are, or may be, still at work.

    Args:
        root: the artifacts folder.
        machines: other machines whose processes have all ended.

    Raises:
        DamagedArtifactError: a claim cannot be read.
    """
    found: set[tuple[str, str]] = set()
    for path in entries(root / ".claims"):
        if path.suffix == ".json" and not has_ended(path, machines):
            found |= _read(path)
    return found


def _read(claim: Path) -> set[tuple[str, str]]:
    try:
        return {(str(stage), str(key)) for stage, key in read_sealed(claim)["artifacts"]}
    except FileNotFoundError:  # just dropped
        return set()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedArtifactError(
            f"{claim}: cannot be read, so what its run uses is not known; delete it if that run "
            "has ended"
        ) from error


def linked(root: Path, without: Container[str] = ()) -> set[tuple[str, str]]:
    """The artifacts, by stage and key, that runs link to, but for the runs of some names."""
    runs = (run for run in entries(root / "runs") if run.name not in without)
    targets = [_target(link) for run in runs for link in entries(run) if link.is_symlink()]
    return {(target.parent.name, target.name) for target in targets if target}


def _target(link: Path) -> Path | None:
    try:
        return link.readlink()
    except FileNotFoundError:  # a rival has just deleted the run
        return None


def remove_unused(root: Path, target: Path, place: Path, is_used: Callable[[], bool]) -> bool:
    """Deletes a published folder, unless it is used; says whether it did.

    Args:
        root: the artifacts folder.
        target: what goes.
        place: in the staging folder, where it is until it is gone; sweep() knows the name.
        is_used: asked before it goes, and once more when nobody can find it any longer.
    """
    with _alone(root):
        if is_used():
            return False
        target.rename(place)
        returns = True
        try:
            sync(target.parent)
            returns = is_used()
        finally:
            if returns:
                _give_back(place, target)
    if not returns:
        shutil.rmtree(place)
    return not returns


def _give_back(removed: Path, target: Path) -> None:
    try:
        removed.rename(target)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        shutil.rmtree(removed, ignore_errors=True)  # it was made anew meanwhile
