"""ArtifactStore: publishes artifacts atomically, finds them, verifies them.

An artifact is a folder `<stage>/<key>/` whose `manifest.json` was written last. What is not
published lives in folders whose names begin with a dot.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from pipeline.durable import sync
from pipeline.errors import ConfigError, DamagedArtifactError
from pipeline.plugins import ROOT

MANIFEST = "manifest.json"
MANIFEST_TYPES = {
    "stage": str,
    "key": str,
    "created": str,
    "summary": str,
    "inputs": dict,
    "files": dict,
    "ingredients": dict,
    "metrics": dict,
}


@dataclass(frozen=True)
class Artifact:
    """A published folder and what its manifest says."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def stage(self) -> str:
        return str(self.manifest["stage"])

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @cached_property
    def identity(self) -> dict[str, str]:
        """Its key, and a fingerprint of its files: the same key can be made anew."""
        files = json.dumps(self.manifest["files"], sort_keys=True)
        return {"key": self.key, "content": hashlib.sha256(files.encode()).hexdigest()[:16]}

    @cached_property
    def damage(self) -> str | None:
        """The first file whose size or SHA-256 is not the manifest's, or None; reads them all."""
        for name, entry in self.manifest["files"].items():
            path = self.path / name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != entry["size_bytes"] or sha256(path) != entry["sha256"]:
                return f"{path} is not the file that was published"
        return None


class ArtifactStore:
    """The artifacts folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Makes the folder.

        Raises:
            ConfigError: it cannot be made or written.
        """
        if self.root.resolve() == ROOT:
            raise ConfigError(
                "--artifacts is the program's own folder; name one below or elsewhere"
            )
        try:
            self._hidden("staging").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{self.root}: cannot be used for artifacts ({error.strerror}); "
                "name a writable folder with --artifacts"
            ) from error

    def find(self, stage: str, key: str) -> Artifact | None:
        """The published artifact, or None; looks at the manifest and at file sizes only.

        Raises:
            DamagedArtifactError: there is one, but not as it was published.
        """
        path = self.root / stage / key
        if not path.is_dir():
            return None
        artifact = open_artifact(path)
        if (artifact.stage, artifact.key) != (stage, key):
            raise DamagedArtifactError(f"{path}: holds the artifact of {artifact.stage}")
        for name, entry in artifact.manifest["files"].items():
            file = path / name
            if not file.is_file() or file.stat().st_size != entry["size_bytes"]:
                raise DamagedArtifactError(f"{file}: missing or not of its published size")
        return artifact

    def latest(self, stage: str, config_name: str = "") -> Artifact | None:
        """The newest readable artifact of a stage, made by a config of this name if one is."""
        found = []
        for path in (self.root / stage).glob("*/"):
            try:
                found.append(open_artifact(path))
            except DamagedArtifactError:
                continue

        def rank(artifact: Artifact) -> tuple[bool, str]:
            made_by = artifact.manifest.get("config", {}).get("name")
            return made_by == config_name, str(artifact.manifest["created"])

        return max(found, key=rank, default=None)

    @contextmanager
    def lock(
        self, stage: str, key: str, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Holds off other runs that make the same artifact; calls `waiting` if one is at it."""
        folder = self._hidden("locks")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{stage}-{key}.lock"
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
        try:
            yield
        finally:
            with suppress(OSError):  # what a killed run may go on from stays: it is not empty
                self._scratch(stage, key).rmdir()
            path.unlink(missing_ok=True)
            lock.release()

    def tidy(self) -> None:
        """Removes empty folders, so that a run which made nothing leaves nothing."""
        names = ("staging", "locks", "scratch", "quarantine")
        for folder in (*map(self._hidden, names), self.root):
            with suppress(OSError):
                folder.rmdir()

    @contextmanager
    def staging(self, stage: str, key: str) -> Iterator[Path]:
        """Gives an empty folder on the same file system; it is gone afterwards."""
        folder = self._hidden("staging") / f"{stage}-{key}-{uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def scratch(self, stage: str, key: str) -> Path:
        """A folder that outlives a killed run of this key."""
        folder = self._scratch(stage, key)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Turns a staging folder into the artifact that the manifest names.

        Files reach the disk before the manifest, the manifest before the rename.
        """
        stage, key = manifest["stage"], manifest["key"]
        target = self.root / stage / key
        full = {**manifest, "files": _describe_files(folder)}
        for path in sorted(folder.rglob("*")):
            sync(path)
        write_synced(folder / MANIFEST, full)
        sync(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        replaced = folder.with_name(f"{folder.name}-replaced")
        if target.exists():
            target.rename(replaced)
        folder.rename(target)
        sync(target.parent)
        shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(self._scratch(stage, key), ignore_errors=True)
        return Artifact(target, full)

    def set_aside(self, stage: str, key: str) -> Path:
        """Moves an artifact that no longer counts to the quarantine; a rival may be quicker."""
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        target = self._hidden("quarantine") / f"{stage}-{key}-{moment}-{uuid4().hex[:4]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            (self.root / stage / key).rename(target)
        return target

    def _scratch(self, stage: str, key: str) -> Path:
        return self._hidden("scratch") / f"{stage}-{key}"

    def _hidden(self, name: str) -> Path:
        return self.root / f".{name}"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_synced(path: Path, values: Mapping[str, Any]) -> None:
    """Writes JSON and waits until the disk has it."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sync(path)


def _describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {
            "size_bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in files
    }


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, by its manifest.

    Raises:
        DamagedArtifactError: the folder has no manifest that can be read.
    """
    return Artifact(folder, _read_manifest(folder))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedArtifactError(f"{path}: no readable manifest ({error})") from error
    if not _is_manifest(manifest):
        raise DamagedArtifactError(f"{path}: not a manifest of this program")
    return dict(manifest)


def _is_manifest(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and all(isinstance(values.get(key), kind) for key, kind in MANIFEST_TYPES.items())
        and all(
            isinstance(entry, dict) and {"size_bytes", "sha256"} <= set(entry)
            for entry in values["files"].values()
        )
    )
