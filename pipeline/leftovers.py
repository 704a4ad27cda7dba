"""sweep(): clears away what processes that have ended were writing in the artifacts folder."""

import shutil
from contextlib import suppress
from itertools import chain
from pathlib import Path

from pipeline.artifact import open_artifact
from pipeline.errors import DamagedArtifactError
from pipeline.owner import owner_in

REPLACED = ".replaced"


def sweep(root: Path) -> None:
    """Removes the staging folders and claims of ended processes; leaves those of others.

    An artifact that was on its way out when the process ended is put back in its place, if the
    place is free.
    """
    for path in chain((root / ".staging").glob("*"), (root / ".claims").glob("*")):
        owner = owner_in(path.name)
        if owner is None or not owner.has_ended:
            continue
        if path.name.endswith(REPLACED):
            _put_back(path, root)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _put_back(path: Path, root: Path) -> None:
    with suppress(DamagedArtifactError, OSError):
        artifact = open_artifact(path)
        target = root / artifact.stage / artifact.key
        if not target.exists() and artifact.damage is None:
            path.rename(target)
