"""Refuses artifacts that stopped being what a plan found, before and after a stage reads them."""

from collections.abc import Iterable, Mapping

from pipeline.core.errors import DamagedArtifactError, ReplacedArtifactError
from pipeline.store.artifact import Artifact
from pipeline.store.store import ArtifactStore


def refuse_gone(artifacts: Iterable[Artifact | None]) -> None:
    """What was deleted after the plan found it and before it was claimed."""
    for artifact in artifacts:
        if artifact and not artifact.path.is_dir():
            raise ReplacedArtifactError(f"{artifact.path} has just been deleted; made anew")


def refuse_damaged(store: ArtifactStore, artifacts: Mapping[str, Artifact]) -> None:
    """Reads every file of the artifacts, by stage name; moves a damaged one out of the way."""
    for stage, artifact in artifacts.items():
        try:
            found = store.intact(stage, artifact.key)
        except DamagedArtifactError as error:
            _set_aside(store, stage, artifact.key)
            raise DamagedArtifactError(
                f"{error}; moved to {store.root / '.quarantine'}, made anew"
            ) from error
        _refuse_other(found, artifact)


def _set_aside(store: ArtifactStore, stage: str, key: str) -> None:
    """Moves it out of the way, unless a run has put another in its place meanwhile."""
    with store.lock(stage, key):
        set_damaged_aside(store, stage, key)


def set_damaged_aside(store: ArtifactStore, stage: str, key: str) -> None:
    try:
        store.intact(stage, key)
    except DamagedArtifactError:
        store.set_aside(stage, key)


def refuse_replaced(store: ArtifactStore, artifacts: Mapping[str, Artifact]) -> None:
    """What is no longer there, or is of other content, so that a reader may have seen both."""
    for stage, artifact in artifacts.items():
        _refuse_other(store.find(stage, artifact.key), artifact)


def _refuse_other(found: Artifact | None, artifact: Artifact) -> None:
    if found is None or found.identity != artifact.identity:
        raise ReplacedArtifactError(
            f"{artifact.path}: another run replaced it while it was in use; planned anew"
        )
