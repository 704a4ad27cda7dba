"""ArtifactStore: publishes artifacts atomically, finds them, keeps what is in use.

An artifact is a folder `<stage>/<key>/` whose `manifest.json` was written last. What is not
published lives in folders whose names begin with a dot:

.staging     artifacts and runs that are being written; each name says by which process
.claims      which artifacts a run that is at work may use
.scratch     what a killed run goes on from
.locks       who makes which artifact; advice, nothing rests on it
.quarantine  damaged artifacts
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.core.durable import MOST_RIVALS, insist, make_folder, sync
from pipeline.core.errors import ConfigError, DamagedArtifactError
from pipeline.core.os_errors import disk_trouble
from pipeline.core.plugins import ROOT
from pipeline.store import claims
from pipeline.store.artifact import Artifact, open_artifact, write_manifest
from pipeline.store.atomic_replace import put, stamp_of
from pipeline.store.folders import entries
from pipeline.store.process_owner import this_process
from pipeline.store.stale_files import REPLACED, sweep

# What a file system says that has no links, and Windows where a user may not make them.
LINKLESS = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class ArtifactStore:
    """The artifacts folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_its_own = not root.exists()  # and may go when it is empty

    def prepare(self, stages: Iterable[str] = ()) -> None:
        """Makes the folder, and clears away what killed runs left behind.

        Args:
            stages: those that are going to publish.

        Raises:
            ConfigError: it cannot be made, or what a stage makes could not be put into it.
        """
        self._refuse_program_folder()
        try:
            make_folder(self._hidden("staging"))
            sweep(self.root)
            with self.staging("trial", "0") as trial:  # no run which ends removes the folder
                self._refuse_linkless(trial)
                for stage in (*stages, "runs"):
                    self._refuse_unwritable(stage)
        except OSError as error:
            raise ConfigError(
                disk_trouble(error, self.root, "cannot be used for artifacts")
            ) from error

    def require(self) -> None:
        """Refuses a folder that is not there.

        Raises:
            ConfigError: it is not, or is the program's own.
        """
        self._refuse_program_folder()
        if not self.root.is_dir():
            raise ConfigError(f"{self.root}: no such folder; name the right one with --artifacts")

    def _refuse_program_folder(self) -> None:
        if Path(os.path.realpath(self.root)) == ROOT:  # resolve() raises where links form a loop
            raise ConfigError(
                "--artifacts is the program's own folder; name one below or elsewhere"
            )

    def _refuse_linkless(self, trial: Path) -> None:
        """A run's folder is links: better said now than when all its work is done."""
        try:
            (trial / "link").symlink_to(self.root.absolute(), target_is_directory=True)
        except OSError as error:
            if error.errno not in LINKLESS:
                raise
            remedy = "name a folder on another file system with --artifacts"
            if sys.platform == "win32":
                remedy = "turn on Windows' Developer Mode (Settings, For developers)"
            raise ConfigError(
                f"{self.root}: links cannot be made there ({error.strerror}), and a run is a "
                f"folder of links; {remedy}"
            ) from error

    def _refuse_unwritable(self, stage: str) -> None:
        staging, target = self._hidden("staging"), self.root / stage
        for folder in (staging, self.root, target if target.exists() else self.root):
            if not os.access(folder, os.W_OK | os.X_OK) and folder.exists():
                raise ConfigError(
                    f"{folder}: cannot be written, so that nothing could be published at the end; "
                    "make it writable, or name another folder with --artifacts"
                )
            if folder.exists() and folder.stat().st_dev != staging.stat().st_dev:
                raise ConfigError(
                    f"{folder}: lies on another file system than {staging}, and artifacts are "
                    "renamed into their place; put the whole folder there with --artifacts"
                )

    def find(self, stage: str, key: str) -> Artifact | None:
        """The published artifact, or None; looks at the manifest and at file sizes only.

        Raises:
            DamagedArtifactError: there is one, but not as it was published.
        """
        return self._read(stage, key, lambda artifact: artifact.misfit)

    def intact(self, stage: str, key: str) -> Artifact | None:
        """The published artifact, or None; reads every file.

        Raises:
            DamagedArtifactError: there is one, but not as it was published.
        """
        return self._read(stage, key, lambda artifact: artifact.damage)

    def _read(
        self, stage: str, key: str, trouble: Callable[[Artifact], str | None]
    ) -> Artifact | None:
        path = self.root / stage / key
        for _ in range(MOST_RIVALS):
            before = stamp_of(path)
            if before is None:
                return None
            try:
                artifact = open_artifact(path)
                if (artifact.stage, artifact.key) != (stage, key):
                    raise DamagedArtifactError(f"{path}: holds the artifact of {artifact.stage}")
                if found := trouble(artifact):
                    raise DamagedArtifactError(found)
            except (DamagedArtifactError, FileNotFoundError):
                if stamp_of(path) == before:  # a rival did not replace it while it was read
                    raise
            else:
                return artifact
        raise DamagedArtifactError(f"{path}: other runs replace it again and again; stop them")

    def latest(
        self, stage: str, by: Callable[[Mapping[str, Any]], bool] = lambda config: True
    ) -> Artifact | None:
        """The newest readable artifact of a stage that was made by such a config."""
        found = []
        with suppress(OSError):  # it is only to say what changed
            for path in entries(self.root / stage):
                with suppress(DamagedArtifactError, OSError):
                    artifact = open_artifact(path)
                    if by(artifact.manifest.get("config", {})):
                        found.append(artifact)
        return max(found, key=lambda artifact: str(artifact.manifest["created"]), default=None)

    @contextmanager
    def lock(
        self, stage: str, key: str, waiting: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Holds off other runs that make the same artifact; calls `waiting` if one is at it."""
        from filelock import FileLock, Timeout  # not where there is nothing to do

        path = self._hidden("locks") / f"{stage}-{key}.lock"
        lock = FileLock(path)
        with suppress(OSError):  # a file system without locks: the second copy replaces the first
            path.parent.mkdir(parents=True, exist_ok=True)
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
            with suppress(OSError):
                try:
                    if lock.is_locked:
                        path.unlink(missing_ok=True)  # Windows refuses it, as the file is open
                finally:
                    lock.release()

    def claim(self, artifacts: Iterable[tuple[str, str]]) -> None:
        """Says which artifacts, by stage and key, this process may use until it drops the claim."""
        with self.staging("claim", "0") as folder:
            claims.publish_claim(self.root, artifacts, folder, self._claim)

    def drop_claim(self) -> None:
        with suppress(OSError):
            self._claim.unlink(missing_ok=True)

    def claimed(self, machines: Container[str] = ()) -> set[tuple[str, str]]:
        """The artifacts, by stage and key, that runs use which are, or may be, still at work."""
        return claims.claimed(self.root, machines)

    def linked(self, without: Container[str] = ()) -> set[tuple[str, str]]:
        """The artifacts, by stage and key, that runs link to, but for the runs of some names."""
        return claims.linked(self.root, without)

    def tidy(self) -> None:
        """Removes the claim and empty folders: a run which made nothing leaves nothing."""
        self.drop_claim()
        staging = self._hidden("staging")
        with suppress(OSError):
            for folder in entries(self.root):
                if folder != staging:  # without it, nothing can be deleted on a full disk
                    with suppress(OSError):
                        folder.rmdir()
            if set(self.root.iterdir()) == {staging}:
                staging.rmdir()
            if self._is_its_own:
                self.root.rmdir()

    @contextmanager
    def staging(self, stage: str, key: str) -> Iterator[Path]:
        """Gives an empty folder on the same file system; it is gone afterwards."""
        folder = self._staged(stage, key)
        try:
            insist(lambda: folder.mkdir(parents=True))
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def scratch(self, stage: str, key: str) -> Path:
        """A folder that outlives a killed run of this key."""
        folder = self._scratch(stage, key)
        insist(lambda: folder.mkdir(parents=True, exist_ok=True))
        return folder

    def publish(self, folder: Path, manifest: Mapping[str, Any]) -> Artifact:
        """Turns a staging folder into the artifact that the manifest names.

        Files reach the disk before the manifest, the manifest before the rename. Where the disk
        fails, what was there before is there again.
        """
        stage, key = manifest["stage"], manifest["key"]
        target = self.root / stage / key
        for path in sorted(folder.rglob("*")):
            sync(path)
        artifact = write_manifest(folder, manifest)
        sync(folder)
        put(folder, target)
        shutil.rmtree(self._scratch(stage, key), ignore_errors=True)
        return Artifact(target, artifact.manifest)

    def discard(self, stage: str, key: str) -> bool:
        """Deletes an artifact, if no run links to it or claims it; says whether it did."""

        def is_used() -> bool:
            # In this order: a run that ends links first, then drops its claim.
            return (stage, key) in self.claimed() or (stage, key) in self.linked()

        return self._remove(self.root / stage / key, is_used)

    def discard_scratch(self, stage: str, key: str) -> bool:
        """Deletes what a run would go on from, if none claims it; says whether it did."""
        return self._remove(self._scratch(stage, key), lambda: (stage, key) in self.claimed())

    def discard_run(self, name: str) -> bool:
        """Deletes the folder of a run; what it linked to stays."""
        return self._remove(self.root / "runs" / name, lambda: False)

    def _remove(self, target: Path, is_used: Callable[[], bool]) -> bool:
        make_folder(self._hidden("staging"))
        place = self._staged(target.parent.name.lstrip("."), target.name)
        return claims.remove_unused(self.root, target, Path(f"{place}{REPLACED}"), is_used)

    def set_aside(self, stage: str, key: str) -> Path:
        """Moves an artifact that no longer counts to the quarantine; a rival may be quicker."""
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        target = self._hidden("quarantine") / f"{stage}-{key}-{moment}-{uuid4().hex[:4]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            (self.root / stage / key).rename(target)
        return target

    def _staged(self, stage: str, key: str) -> Path:
        """A new name that says whose it is."""
        name = f"{stage}-{key}.{this_process()}.{uuid4().hex[:8]}"
        return self._hidden("staging") / name

    def _scratch(self, stage: str, key: str) -> Path:
        return self._hidden("scratch") / f"{stage}-{key}"

    @property
    def _claim(self) -> Path:
        return self._hidden("claims") / f"claim.{this_process()}.json"

    def _hidden(self, name: str) -> Path:
        return self.root / f".{name}"
