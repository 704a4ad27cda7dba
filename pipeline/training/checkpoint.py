"""Checkpoints of a training: one file, replaced as a whole, refused where a bit of it differs.

The file is an `.npz` of arrays and one member of JSON. Its zip comment is the SHA-256 of all
bytes before the comment.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from pipeline.core.durable import NOT_AS_WRITTEN, sync
from pipeline.core.errors import StageError
from pipeline.core.os_errors import disk_trouble

FILE_NAME = "checkpoint.npz"
PREVIOUS = "checkpoint-previous.npz"
UNFINISHED = "checkpoint-unfinished.npz"
VALUES = "checkpoint.json"
DIGEST_LENGTH = 64
UNREADABLE = (
    LookupError,
    TypeError,
    AttributeError,
    BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # encrypted, packed in an unknown way, or nested too deep
    MemoryError,
)


@dataclass(frozen=True)
class State:
    """What one part of a training must remember: plain values, as JSON has them, and arrays."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A moment of a training.

    Attributes:
        fingerprint: of all that must be the same for a training to go on from here.
        machine: what the bits also depend on.
        epoch: the epoch to go on with, from 0; that after the last where none is left.
        step: how many steps of it are behind.
        states: what each part must remember.
        moment: when it was saved.
    """

    fingerprint: str
    machine: str
    epoch: int
    step: int
    states: Mapping[str, State]
    moment: datetime = field(default_factory=datetime.now)


class CheckpointFile:
    """The newest checkpoint in a folder, and the one before in case that one gets damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def path(self) -> Path:
        return self._folder / FILE_NAME

    def read(self, fingerprint: str, tell: Callable[[str], None]) -> Checkpoint | None:
        """The newest intact checkpoint of this fingerprint; tells which others were passed over.

        Raises:
            OSError: the system does not let it be read now.
        """
        for name in (FILE_NAME, PREVIOUS):
            try:
                found = decode((self._folder / name).read_bytes())
            except FileNotFoundError:
                continue
            except NOT_AS_WRITTEN as error:
                tell(f"{self._folder / name} is damaged and not used ({error})")
                continue
            if found.fingerprint == fingerprint:
                return found
            tell(f"{self._folder / name} is of a training on other images or in another precision")
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Puts the checkpoint in the place of the newest, which becomes the one before.

        Raises:
            StageError: the disk did not take it; those that were there still are.
        """
        unfinished = self._folder / UNFINISHED
        try:
            unfinished.write_bytes(encode(checkpoint))
            sync(unfinished)
            if self.path.exists():
                self.path.replace(self._folder / PREVIOUS)
            unfinished.replace(self.path)
            sync(self._folder)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            found = any((self._folder / name).exists() for name in (FILE_NAME, PREVIOUS))
            trouble = disk_trouble(error, unfinished, "a checkpoint could not be written")
            raise StageError(
                f"train: {trouble}"
                + (" from the checkpoint before" if found else " from the start")
            ) from error


def encode(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint file."""
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.comment = bytes(DIGEST_LENGTH)
        archive.writestr(VALUES, json.dumps(_plain(checkpoint)))
        for name, state in checkpoint.states.items():
            for number, array in enumerate(state.arrays):
                with archive.open(f"{name}/{number}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    body = buffer.getvalue()[:-DIGEST_LENGTH]
    return body + digest(body)


def decode(data: bytes) -> Checkpoint:
    """The checkpoint in the bytes of a file.

    Raises:
        ValueError: the bytes are not those of a checkpoint as it was written.
    """
    if digest(data[:-DIGEST_LENGTH]) != data[-DIGEST_LENGTH:]:
        raise ValueError("its SHA-256 is not that of its bytes")
    try:
        return _parse(data)
    except UNREADABLE as error:
        raise ValueError(f"it holds no checkpoint: {error}") from error


def _parse(data: bytes) -> Checkpoint:
    with np.load(BytesIO(data), allow_pickle=False) as archive:
        plain = json.loads(archive[VALUES])
        states = {
            name: State(values, [archive[f"{name}/{number}"] for number in range(count)])
            for name, (values, count) in plain.pop("states").items()
        }
    moment = datetime.fromisoformat(plain.pop("moment"))
    return Checkpoint(**plain, states=states, moment=moment)


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    states = checkpoint.states.items()
    return {
        "fingerprint": checkpoint.fingerprint,
        "machine": checkpoint.machine,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "states": {name: (dict(state.values), len(state.arrays)) for name, state in states},
        "moment": checkpoint.moment.isoformat(),
    }


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
