"""collect(): deletes what no kept run uses, so that a kill leaves only whole artifacts and runs."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.maintenance.find_garbage import Garbage, Piece, Rules, find_garbage
from pipeline.store.folders import entries
from pipeline.store.stale_files import has_ended, sweep
from pipeline.store.store import ArtifactStore


def collect(
    store: ArtifactStore, garbage: Garbage, rules: Rules, failed: Callable[[str], None]
) -> tuple[Piece, ...]:
    """Deletes what was found; gives what went.

    What is not published goes first, for that needs no room on a full disk; then runs, so that
    none has links to nothing. What has come into use since stays. What cannot be deleted is told,
    one line each, and the rest goes on.
    """
    with suppress(OSError):
        _drop_claims(store, rules)
    gone = []
    still = {piece.path for piece in find_garbage(store, rules).pieces}
    agreed = [piece for piece in garbage.pieces if piece.path in still]
    for piece in sorted(agreed, key=lambda piece: not _is_unpublished(store, piece)):
        try:
            if _delete(store, piece):
                gone.append(piece)
        except FileNotFoundError as error:
            if piece.path.exists():
                failed(_in_words(piece, error))
        except (OSError, PipelineError) as error:
            failed(_in_words(piece, error))
    with suppress(OSError):
        sweep(store.root, rules.machines)
    store.tidy()
    return tuple(gone)


def refuse_unwritable(store: ArtifactStore) -> None:
    """Says before anything is asked that nothing could be deleted.

    Raises:
        ConfigError: it could not.
    """
    if not os.access(store.root, os.W_OK | os.X_OK):
        raise ConfigError(f"{store.root}: cannot be written, so nothing can be deleted there")


def _delete(store: ArtifactStore, piece: Piece) -> bool:
    parent = piece.path.parent
    if parent == store.root / "runs":
        return store.discard_run(piece.path.name)
    if parent == store.root / ".scratch":
        return store.discard_scratch(piece.stage, piece.key)
    if _is_unpublished(store, piece):
        if piece.path.is_dir():
            shutil.rmtree(piece.path)
        else:
            piece.path.unlink()
        return True
    return store.discard(piece.stage, piece.key)


def _is_unpublished(store: ArtifactStore, piece: Piece) -> bool:
    return piece.path.parent in (store.root / ".quarantine", store.root / ".staging")


def _drop_claims(store: ArtifactStore, rules: Rules) -> None:
    for path in entries(store.root / ".claims"):
        if has_ended(path, rules.machines):
            path.unlink(missing_ok=True)


def _in_words(piece: Piece, error: OSError | PipelineError) -> str:
    if isinstance(error, PipelineError):
        return f"{piece.path}: not deleted ({error})"
    what = f"{error.filename}: " if error.filename not in (None, str(piece.path)) else ""
    return f"{piece.path}: not deleted ({what}{error.strerror or error})"
