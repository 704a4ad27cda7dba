"""Artifact: a published folder, its files by SHA-256, and the manifest that seals them."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from stat import S_ISLNK, S_ISREG
from typing import Any

from pipeline.core.content import sha256
from pipeline.core.durable import NOT_AS_WRITTEN
from pipeline.core.errors import DamagedArtifactError
from pipeline.core.sealed_json import read_sealed, write_sealed

MANIFEST = "manifest.json"
STAGE, KEY = re.compile(r"[a-z_]+"), re.compile(r"[0-9a-f]{16}")
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
            if self._size_bytes(name) != entry["size_bytes"]:
                return f"{self.path / name}: missing or not of its published size"
        return None

    @property
    def damage(self) -> str | None:
        """The first file whose size or SHA-256 is not the manifest's, or None; reads them all."""
        return next(filter(None, map(self.damage_of, self.manifest["files"])), None)

    def damage_of(self, name: str) -> str | None:
        """How a file differs from what was published, or None; reads it."""
        path, entry = self.path / name, self.manifest["files"][name]
        size = self._size_bytes(name)
        if size is None:
            return f"{path} is missing"
        if size != entry["size_bytes"] or sha256(path) != entry["sha256"]:
            return f"{path} is not the file that was published"
        return None

    def _size_bytes(self, name: str) -> int | None:
        """The size of a file within the folder that is reached without a link; None of others."""
        place, mode, size = str(self.path), 0, 0
        for part in name.split("/"):
            place = f"{place}/{part}"
            try:
                found = os.lstat(place)
            except (FileNotFoundError, NotADirectoryError, ValueError):  # a name may be no name
                return None
            mode, size = found.st_mode, found.st_size
            if S_ISLNK(mode) or part == "..":
                return None
        return size if S_ISREG(mode) else None


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, by its manifest.

    Raises:
        DamagedArtifactError: the folder has no manifest that can be read, or not as it was written.
        OSError: the system does not let it be read now; it may be intact.
    """
    path = folder / MANIFEST
    try:
        manifest = read_sealed(path)
    except NOT_AS_WRITTEN as error:
        said = getattr(error, "strerror", None) or error
        raise DamagedArtifactError(f"{path}: no readable manifest ({said})") from error
    if not is_manifest(manifest):
        raise DamagedArtifactError(f"{path}: not a manifest of this program")
    return Artifact(folder, manifest)


def write_manifest(folder: Path, values: Mapping[str, Any]) -> Artifact:
    """Describes the files of a folder, and waits until the disk has the manifest."""
    manifest = {**values, "files": _describe_files(folder)}
    write_sealed(folder / MANIFEST, manifest)
    return Artifact(folder, manifest)


def is_name_of_artifact(stage: str, key: str) -> bool:
    """Whether they have the form of a stage and a key, and so lead nowhere else as a path."""
    return bool(STAGE.fullmatch(stage) and KEY.fullmatch(key))


def _describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {
            "size_bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in files
    }


def is_manifest(values: Mapping[str, Any]) -> bool:
    """Whether it is what `write_manifest` writes, as far as anything here reads it."""
    return (
        all(isinstance(values.get(key), kind) for key, kind in MANIFEST_TYPES.items())
        and is_name_of_artifact(values["stage"], values["key"])
        and isinstance(values.get("config", {}), dict)
        and all(
            isinstance(entry, dict) and {"size_bytes", "sha256"} <= set(entry)
            for entry in values["files"].values()
        )
        and not any(PurePosixPath(name).is_absolute() for name in values["files"])
        and all(
            isinstance(identity, dict) and is_name_of_artifact(stage, str(identity.get("key")))
            for stage, identity in values["inputs"].items()
        )
    )
