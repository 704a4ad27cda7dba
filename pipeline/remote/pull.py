"""pull(): copies artifacts and runs from the far end, and publishes them as a stage would."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline.core.errors import DamagedArtifactError, StageError
from pipeline.core.os_errors import trouble_is_a_stage_error
from pipeline.core.progress import Progress
from pipeline.remote.catalogs import PUSH_AGAIN, RemoteCatalog
from pipeline.remote.remote_folder import NOT_THERE, RemoteFolder
from pipeline.remote.select import Choice, Chosen, choose
from pipeline.remote.transfer import Outcome, checked, files_in, is_other, refuse_others
from pipeline.store.artifact import Artifact
from pipeline.store.guards import set_damaged_aside
from pipeline.store.store import ArtifactStore
from pipeline.workflow.runs import Run, list_runs, publish_run


def pull(
    store: ArtifactStore,
    far: RemoteFolder,
    choice: Choice,
    progress: Progress,
    *,
    replaces: bool = False,
) -> Outcome:
    """Copies what is not whole here; a killed call leaves whole artifacts and runs.

    Args:
        store: where they go to.
        far: where they come from; nothing that it says is trusted before it is checked.
        choice: which.
        progress: shows how far it is.
        replaces: whether an artifact goes in the place of another that has its key.

    Raises:
        PipelineError: something is missing, damaged or refused.
    """
    chosen = choose(RemoteCatalog(far), choice)
    here = {artifact.path: _intact(store, artifact) for artifact in chosen.artifacts}
    others = [each for each in chosen.artifacts if is_other(each, here[each.path])]
    if not replaces:
        refuse_others(others, str(store.root))
    new = [each for each in chosen.artifacts if here[each.path] is None or each in others]
    size_bytes = sum(_size(artifact) for artifact in new)
    with _prepared(store, chosen, new):
        _refuse_no_room(store, size_bytes)
        with progress.task("pulling", files_in(Chosen(tuple(new)))) as task:
            for artifact in new:
                _pull(store, far, artifact, lambda name: task.advance(note=name))
        pulled = sum(_pull_run(store, run) for run in chosen.runs)
    return Outcome(
        artifacts=len(new),
        size_bytes=size_bytes,
        passed_over=len(chosen.artifacts) - len(new),
        runs=pulled,
        runs_passed_over=len(chosen.runs) - pulled,
    )


@contextmanager
def _prepared(store: ArtifactStore, chosen: Chosen, new: Sequence[Artifact]) -> Iterator[None]:
    """Claims the artifacts, so that no `gc` takes one before its run has a link to it."""
    try:
        store.prepare({artifact.stage for artifact in new})
        with trouble_is_a_stage_error("pull", store.root):
            store.claim((artifact.stage, artifact.key) for artifact in chosen.artifacts)
            yield
    finally:
        store.tidy()


def _intact(store: ArtifactStore, artifact: Artifact) -> Artifact | None:
    """What is here under the artifact's key; what is damaged does not count."""
    try:
        return store.intact(artifact.stage, artifact.key)
    except DamagedArtifactError:
        return None


def _size(artifact: Artifact) -> int:
    return sum(entry["size_bytes"] for entry in artifact.manifest["files"].values())


def _refuse_no_room(store: ArtifactStore, size_bytes: int) -> None:
    free = shutil.disk_usage(store.root).free
    if size_bytes > free:
        raise StageError(
            f"{store.root}: {free >> 20} MiB are free, {size_bytes >> 20} MiB are needed; make "
            "room on its disk, or name another folder with --artifacts"
        )


def _pull(
    store: ArtifactStore, far: RemoteFolder, artifact: Artifact, was_read: Callable[[str], None]
) -> None:
    """Fills a staging folder, and publishes it when every file is what the manifest says."""
    stage, key = artifact.stage, artifact.key
    with store.lock(stage, key), store.staging(stage, key) as folder:
        for name, entry in artifact.manifest["files"].items():
            path, place = folder / name, f"{stage}/{key}/{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                chunks = checked(far.chunks(place), entry, f"{far.url}/{place}", PUSH_AGAIN)
                _fill(path, chunks)
            except NOT_THERE as error:
                raise DamagedArtifactError(
                    f"{far.url}/{place}: is missing; {PUSH_AGAIN}"
                ) from error
            was_read(f"{stage} {PurePosixPath(name).name}")
        set_damaged_aside(store, stage, key)
        store.publish(folder, artifact.manifest)


def _fill(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _pull_run(store: ArtifactStore, run: Run) -> bool:
    """Publishes a run, with a number if its name is taken; False if it is here already."""
    if any(each.record == run.record for each in list_runs(store)):
        return False
    publish_run(store, run.name, run.record)
    return True
