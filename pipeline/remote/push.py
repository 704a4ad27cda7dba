"""push(): copies artifacts and runs to the far end, each file read back, each manifest last."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pipeline.core.command_hints import mends
from pipeline.core.errors import ConfigError, DamagedArtifactError, StageError
from pipeline.core.os_errors import trouble_is_a_stage_error
from pipeline.core.progress import Progress
from pipeline.core.sealed_json import sealed
from pipeline.remote.catalogs import LocalCatalog, RemoteCatalog
from pipeline.remote.remote_folder import CHUNK_BYTES, RemoteFolder, is_left_over
from pipeline.remote.select import Choice, choose
from pipeline.remote.transfer import Outcome, checked, files_in, is_other, refuse_others
from pipeline.store.artifact import MANIFEST, Artifact
from pipeline.store.store import ArtifactStore
from pipeline.workflow.runs import MOST_AT_ONCE, RECORD, Run


def push(
    store: ArtifactStore,
    far: RemoteFolder,
    choice: Choice,
    progress: Progress,
    *,
    replaces: bool = False,
) -> Outcome:
    """Copies what is not whole at the far end; a killed call leaves nothing there that counts.

    Args:
        store: where they come from.
        far: where they go to.
        choice: which.
        progress: shows how far it is.
        replaces: whether an artifact goes in the place of another that has its key.

    Raises:
        PipelineError: something is missing, damaged or refused; what is whole there stays.
    """
    store.require()
    chosen = choose(LocalCatalog(store), choice)
    there = {artifact.path: _readable(far, artifact) for artifact in chosen.artifacts}
    if not replaces:
        others = [each for each in chosen.artifacts if is_other(each, there[each.path])]
        refuse_others(others, far.url)
    outcome = Outcome()
    with progress.task("pushing", files_in(chosen)) as task:
        for artifact in chosen.artifacts:
            before = there[artifact.path]
            written = _push(far, artifact, before, lambda name: task.advance(note=name))
            outcome = replace(
                outcome,
                artifacts=outcome.artifacts + (written is not None),
                size_bytes=outcome.size_bytes + (written or 0),
                passed_over=outcome.passed_over + (written is None),
            )
    pushed = sum(_push_run(far, run) for run in chosen.runs)
    return replace(outcome, runs=pushed, runs_passed_over=len(chosen.runs) - pushed)


def _readable(far: RemoteFolder, artifact: Artifact) -> Artifact | None:
    """What counts there under the artifact's key; a torn manifest does not."""
    try:
        return RemoteCatalog(far).find(artifact.stage, artifact.key)
    except DamagedArtifactError:
        return None


def _place(artifact: Artifact) -> str:
    return f"{artifact.stage}/{artifact.key}"


def _make_way(far: RemoteFolder, artifact: Artifact) -> None:
    """Takes away what counts under the artifact's key, the manifest first."""
    place = _place(artifact)
    far.remove(f"{place}/{MANIFEST}")
    kept = {f"{place}/{name}" for name in artifact.manifest["files"]}
    for name in far.files_in(place):
        if name not in kept:
            far.remove(name)


def _push(
    far: RemoteFolder, artifact: Artifact, before: Artifact | None, was_seen: Callable[[str], None]
) -> int | None:
    """Writes what is not whole there, in the place of another that counted before.

    Returns:
        How many bytes its files took; None if all was whole.
    """
    makes_way = is_other(artifact, before)
    if makes_way:
        _make_way(far, artifact)
    written = _push_files(far, artifact, was_seen)
    if before is not None and not makes_way:
        return written
    _write_record(far, f"{_place(artifact)}/{MANIFEST}", sealed(artifact.manifest))
    return written or 0


def _push_files(
    far: RemoteFolder, artifact: Artifact, was_seen: Callable[[str], None]
) -> int | None:
    """Writes the files that are not whole there; gives their bytes, None if all were whole."""
    place, written = _place(artifact), None
    _sweep(far, place)
    for name, entry in artifact.manifest["files"].items():
        target, path = f"{place}/{name}", artifact.path / name
        if far.digest(target) != entry["sha256"]:
            remedy = mends(artifact.path.parents[1])
            far.write(target, checked(_near_chunks(path), entry, str(path), remedy))
            if far.digest(target) != entry["sha256"]:
                raise _came_out_other(far, target)
            written = (written or 0) + entry["size_bytes"]
        was_seen(f"{artifact.stage} {PurePosixPath(name).name}")
    return written


def _sweep(far: RemoteFolder, place: str) -> None:
    for name in filter(is_left_over, far.files_in(place)):
        far.remove(name)


def _near_chunks(path: Path) -> Iterator[bytes]:
    with trouble_is_a_stage_error("push", path), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _write_record(far: RemoteFolder, name: str, content: bytes) -> None:
    far.write(name, [content])
    if far.record(name) != content:
        raise _came_out_other(far, name)


def _came_out_other(far: RemoteFolder, name: str) -> StageError:
    return StageError(
        f"{far.url}/{name}: came out other than it was sent; is another program writing there? "
        "Then the same command goes on"
    )


def _push_run(far: RemoteFolder, run: Run) -> bool:
    """Writes the record of a run, with a number if its name is taken; False if it is there."""
    place = RemoteCatalog(far)
    for number in range(1, MOST_AT_ONCE):
        name = run.name if number == 1 else f"{run.name}-{number}"
        there = place.run(name)
        if there is None:
            _sweep(far, f"runs/{name}")
            _write_record(far, f"runs/{name}/{RECORD}", sealed(run.record))
            return True
        if there.record == run.record:
            return False
    raise ConfigError(f"{far.url}/runs: too many runs are called {run.name}")
