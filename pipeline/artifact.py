"""Artifact: a published folder, its files by SHA-256, and the manifest that seals them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.digest import sha256
from pipeline.durable import sync
from pipeline.errors import DamagedArtifactError

MANIFEST = "manifest.json"
SEAL = "manifest_sha256"
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

    @property
    def misfit(self) -> str | None:
        """The first file that is missing or of another size, or None; opens none of them."""
        for name, entry in self.manifest["files"].items():
            path = self.path / name
            if not self._is_own_file(name) or path.stat().st_size != entry["size_bytes"]:
                return f"{path}: missing or not of its published size"
        return None

    @cached_property
    def damage(self) -> str | None:
        """The first file whose size or SHA-256 is not the manifest's, or None; reads them all."""
        return next(filter(None, map(self.damage_of, self.manifest["files"])), None)

    def damage_of(self, name: str) -> str | None:
        """How a file differs from what was published, or None; reads it."""
        path, entry = self.path / name, self.manifest["files"][name]
        if not self._is_own_file(name):
            return f"{path} is missing"
        if path.stat().st_size != entry["size_bytes"] or sha256(path) != entry["sha256"]:
            return f"{path} is not the file that was published"
        return None

    def _is_own_file(self, name: str) -> bool:
        """Whether it is a file within the folder, reached without a link."""
        path = self.path / name
        return path.is_file() and path.resolve() == self.path.resolve() / name


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, by its manifest.

    Raises:
        DamagedArtifactError: the folder has no manifest that can be read, or not as it was written.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedArtifactError(f"{path}: no readable manifest ({error})") from error
    if not _is_manifest(manifest):
        raise DamagedArtifactError(f"{path}: not a manifest of this program")
    if text != _sealed(manifest):
        raise DamagedArtifactError(f"{path}: not the manifest that was written")
    return Artifact(folder, _unsealed(manifest))


def write_manifest(folder: Path, values: Mapping[str, Any]) -> Artifact:
    """Describes the files of a folder, and waits until the disk has the manifest."""
    manifest = {**values, "files": _describe_files(folder)}
    path = folder / MANIFEST
    path.write_text(_sealed(manifest), encoding="utf-8")
    sync(path)
    return Artifact(folder, manifest)


def _sealed(values: Mapping[str, Any]) -> str:
    """The manifest's text, which ends with the SHA-256 of all else that it says."""
    unsealed = _unsealed(values)
    seal = hashlib.sha256(json.dumps(unsealed).encode()).hexdigest()
    return json.dumps({**unsealed, SEAL: seal}, indent=2) + "\n"


def _unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != SEAL}


def _describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {
            "size_bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in files
    }


def _is_manifest(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and all(isinstance(values.get(key), kind) for key, kind in MANIFEST_TYPES.items())
        and all(
            isinstance(entry, dict) and {"size_bytes", "sha256"} <= set(entry)
            for entry in values["files"].values()
        )
    )
