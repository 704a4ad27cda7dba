"""A folder behind an fsspec URL, to which files go whole and from which bytes come."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from pipeline.core.command_hints import pip
from pipeline.core.errors import ConfigError, DamagedArtifactError, PipelineError, StageError
from pipeline.core.os_errors import disk_trouble
from pipeline.store.process_owner import owner_in, this_process

CHUNK_BYTES = 1 << 20
LONGEST_RECORD_BYTES = 1 << 26
PARTIAL = ".part"
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
LOCAL = ("file", "local")
HAVE_LINKS = (*LOCAL, "sftp", "ssh")
# There a file appears when it is closed; elsewhere it is written under another name and renamed.
OBJECT_STORES = ("memory", "s3", "s3a", "gs", "gcs", "abfs", "az", "oci", "oss", "tos")
SECRET = re.compile(r"(?<=//)[^/@]+@")


class RemoteFolder:
    """The folder; names of files count from it.

    Attributes:
        url: as it is shown, without a password in it.
    """

    def __init__(self, url: str, files: Any, root: str) -> None:
        self.url = _public(url).rstrip("/")
        self._files, self._root = files, root.rstrip("/")
        protocol = files.protocol
        self._protocols = {protocol} if isinstance(protocol, str) else set(protocol)

    @property
    def is_there(self) -> bool:
        """Whether there is such a folder; a store of objects has one where one of them is."""
        with self._library_errors(""):
            return bool(self._files.exists(self._root or "/"))

    def record(self, name: str) -> bytes | None:
        """All of a small file; None if there is none.

        Raises:
            DamagedArtifactError: it is too large for what it should be.
        """
        content = b""
        try:
            for chunk in self.chunks(name):
                content += chunk
                if len(content) > LONGEST_RECORD_BYTES:
                    raise DamagedArtifactError(
                        f"{self.url}/{name}: more than {LONGEST_RECORD_BYTES >> 20} MiB, so it is "
                        "nothing that this program wrote; remove it there"
                    )
        except NOT_THERE:
            return None
        return content

    def digest(self, name: str) -> str | None:
        """The SHA-256 of a file, all of which is read; None if there is none."""
        total = hashlib.sha256()
        try:
            for chunk in self.chunks(name):
                total.update(chunk)
        except NOT_THERE:
            return None
        return total.hexdigest()

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a file.

        Raises:
            FileNotFoundError: there is none; or another of NOT_THERE.
            StageError: it cannot be read.
        """
        with self._library_errors(name, NOT_THERE):
            self._refuse_links(name)
            self._files.invalidate_cache()
            with self._files.open(self._path(name), "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Puts a file in the place of what has the name, at once where the store can.

        Raises:
            StageError: it cannot be written.
        """
        path = self._path(name)
        with self._library_errors(name):
            self._refuse_links(name)
            if self._protocols & set(OBJECT_STORES):
                self.fill(path, chunks)
                return
            self._files.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            partial = f"{path}.{this_process()}.{uuid4().hex[:8]}{PARTIAL}"
            try:
                self.fill(partial, chunks)
                self._files.mv(partial, path)
            except BaseException:
                with suppress(Exception):
                    self._files.rm_file(partial)
                raise

    def fill(self, path: str, chunks: Iterable[bytes]) -> None:
        with self._files.open(path, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            if self._protocols & set(LOCAL):
                file.flush()
                os.fsync(file.fileno())

    def remove(self, name: str) -> None:
        with self._library_errors(name), suppress(*NOT_THERE):
            self._files.rm_file(self._path(name))

    def names(self, folder: str) -> list[str]:
        """The names in a folder, in order; none if there is no such folder."""
        try:
            with self._library_errors(folder, NOT_THERE):
                self._files.invalidate_cache()
                found = self._files.ls(self._path(folder), detail=False)
        except NOT_THERE:
            return []
        return sorted({PurePosixPath(path).name for path in found})

    def files_in(self, folder: str) -> list[str]:
        """The files in a folder and below, by their names from the far end's root."""
        with self._library_errors(folder):
            self._files.invalidate_cache()
            before = len(self._root) + 1
            return [path[before:] for path in self._files.find(self._path(folder))]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _refuse_links(self, name: str) -> None:
        """Refuses a path that a link below the root would lead elsewhere."""
        if not self._protocols & set(HAVE_LINKS):
            return
        for place in (PurePosixPath(name), *PurePosixPath(name).parents[:-1]):
            with suppress(*NOT_THERE):
                found = self._files.info(self._path(str(place)))
                if found.get("islink") or found.get("type") == "link":
                    raise DamagedArtifactError(
                        f"{self.url}/{place}: a link, where a file or folder was expected; "
                        "remove it there, then push again"
                    )

    @contextmanager
    def _library_errors(self, name: str, passed: tuple[type[OSError], ...] = ()) -> Iterator[None]:
        """Every other library has errors of its own: what a store says, in one line."""
        try:
            yield
        except Exception as error:
            if isinstance(error, (PipelineError, *passed)):
                raise
            raise StageError(self._in_words(error, f"{self.url}/{name}")) from error

    def _in_words(self, error: Exception, place: str) -> str:
        if self._protocols & set(LOCAL) and isinstance(error, OSError) and error.errno:
            if str(error.filename).endswith(PARTIAL):
                error = OSError(error.errno, error.strerror)
            return disk_trouble(error, place, elsewhere="give another URL")
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return (
            f"{place}: {_public(said)}. Check the address, your access and the network; then the "
            "same command goes on"
        )


def is_left_over(name: str) -> bool:
    """Whether a process of this machine that has ended was writing this file."""
    owner = owner_in(name)
    return name.endswith(PARTIAL) and owner is not None and owner.has_ended


def open_remote_folder(url: str) -> RemoteFolder:
    """The folder that a URL or a path names.

    Raises:
        ConfigError: the URL is wrong, or a package is missing.
    """
    import fsspec
    from fsspec.core import url_to_fs

    if not url.rpartition("://")[2].strip():
        raise ConfigError(
            f"the URL {url!r} names no folder; is a variable unset? Expected a path, file://…, "
            "s3://… or gs://…"
        )
    if "::" in url:
        raise ConfigError(
            f"{_public(url)}: a chain of file systems, whose caches would hide what is really "
            "there; give the last part alone"
        )
    protocol = url.partition("://")[0] if "://" in url else "file"
    if protocol not in fsspec.available_protocols():
        raise ConfigError(f"{_public(url)}: no protocol {protocol!r}; try file://, s3:// or gs://")
    if missing := _missing_package(protocol):
        raise ConfigError(
            f"{_public(url)}: needs the package {missing}; install it with: "
            f"{pip('install', missing)}"
        )
    try:
        return RemoteFolder(url, *url_to_fs(url))
    except Exception as error:  # each library has its own
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{_public(url)}: cannot be used ({_public(said)}). Check it") from error


def _missing_package(protocol: str) -> str | None:
    """What to install for a protocol that fsspec knows, but cannot open by itself."""
    from fsspec.registry import known_implementations

    module = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
    needs = {"sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol"}
    needed = needs.get(protocol, module if module != "fsspec" else "")
    return needed if needed and find_spec(needed) is None else None


def _public(text: str) -> str:
    return SECRET.sub("", text)
