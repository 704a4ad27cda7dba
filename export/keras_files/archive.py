"""Opens a `.keras` file, a zip of a config and HDF5 weights, without trusting what it says."""

import io
import json
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.train import model_kinds
from pipeline.core.content import HDF5, kind_of
from pipeline.core.errors import ConfigError

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"
EXPECTED = frozenset({CONFIG, WEIGHTS, METADATA})
ASSETS = "assets/"
# Keras stores its members as they are: what unpacks to a multiple of the file is no model.
MOST_EXPANSION = 100
ROOM_BYTES = 1 << 20
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Archive:
    """What a `.keras` file holds.

    Attributes:
        config: what Keras builds the model from.
        members: the other members, by name.
    """

    config: Mapping[str, Any]
    members: Mapping[str, bytes]

    @property
    def version(self) -> str:
        """Of the Keras that wrote the file, as it says; empty if it does not."""
        try:
            return str(json.loads(self.members[METADATA])["keras_version"])
        except (LookupError, TypeError, ValueError, RecursionError):
            return ""

    def write(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as target:
            target.writestr(CONFIG, json.dumps(self.config))
            for name, content in self.members.items():
                target.writestr(name, content)


def open_archive(path: Path) -> Archive:
    """Reads the file whole, and checks it whole.

    Raises:
        ConfigError: it is no `.keras` file, is damaged, or holds what no model needs.
    """
    if path.is_dir():
        raise _refusal(path, "is a folder")
    try:
        with zipfile.ZipFile(path) as source:
            _refuse_foreign_members(path, source)
            members = {member.filename: _content(source, member) for member in source.infolist()}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except DAMAGE as error:
        kind = kind_of(path)
        if kind == HDF5:
            raise ConfigError(model_kinds.hdf5(path)) from error
        is_other = kind not in (None, "a zip archive")
        found = f"is {kind}" if is_other else f"is no whole zip file ({error})"
        raise _refusal(path, found) from error
    _refuse_far_weights(path, members[WEIGHTS])
    return Archive(_read_config(path, members.pop(CONFIG)), members)


def _refusal(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{path}: {found}; expected a .keras file as Keras 3 writes it with "
        "model.save('model.keras')"
    )


def _forgery(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{path}: {found}, which Keras never writes; load the model where it was made and save it "
        "again, and do not use a file of unknown origin"
    )


def _refuse_foreign_members(path: Path, source: zipfile.ZipFile) -> None:
    members, counts = source.infolist(), Counter(source.namelist())
    for name in (CONFIG, WEIGHTS):
        if name not in counts:
            raise _refusal(path, f"has no {name}")
    for name, count in counts.items():
        is_asset = name.startswith(ASSETS) and ".." not in name.split("/") and "\\" not in name
        if name not in EXPECTED and not is_asset:
            raise _forgery(path, f"holds {name!r}")
        if count > 1:
            raise _forgery(path, f"holds {name} twice")
    for member in members:
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _forgery(path, f"holds a link ({member.filename})")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _forgery(path, f"packs {member.filename} by method {member.compress_type}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MOST_EXPANSION * path.stat().st_size + ROOM_BYTES:
        raise _forgery(path, f"unpacks to {unpacked:,} bytes")


def _content(source: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Unpacks no more than the size that the member states, however much there is."""
    with source.open(member) as stream:
        return stream.read(member.file_size)


def _read_config(path: Path, content: bytes) -> dict[str, Any]:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"has a {CONFIG} that is no JSON ({error})") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise _refusal(path, f"has a {CONFIG} that names no model")
    return config


def _refuse_far_weights(path: Path, content: bytes) -> None:
    """Refuses arrays that lie in other files, or are far larger than what is stored.

    Keras looks at the arrays that it reads, and lets each of them claim 4 GiB.
    """
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            declared = _declared_bytes(path, file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _refusal(path, f"has weights that are no whole HDF5 file ({error})") from error
    if declared > MOST_EXPANSION * len(content) + ROOM_BYTES:
        raise _forgery(path, f"declares weights of {declared:,} bytes in {len(content):,}")


def _declared_bytes(path: Path, root: Any) -> int:
    import h5py

    total, waiting, met = 0, [root], {_address(root)}
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _forgery(path, f"has weights that are a link ({group.name}/{name})")
            item = group[name]
            if isinstance(item, h5py.Group):
                if _address(item) in met:  # in a circle, the walk would never end
                    raise _forgery(path, f"has weights that are met twice ({item.name})")
                met.add(_address(item))
                waiting.append(item)
            elif not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise _forgery(path, f"has weights in another file ({item.name})")
            else:
                total += (item.size or 0) * item.dtype.itemsize
    return total


def _address(group: Any) -> int:
    """Where the group lies in its file: the same for every link to it."""
    import h5py

    return int(h5py.h5o.get_info(group.id).addr)
