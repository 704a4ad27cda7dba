"""Which artifacts are in use: by runs that are at work, and by those that ended."""

import json
from collections.abc import Container
from pathlib import Path

from pipeline.errors import DamagedArtifactError
from pipeline.leftovers import has_ended


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
        values = json.loads(claim.read_text(encoding="utf-8"))
        return {(stage, key) for stage, key in values["artifacts"]}
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


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in order; unlike glob(), never nothing because it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
