"""Opens a `.keras` file, a zip of a config and HDF5 weights, without trusting what it says."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
EXPECTED = frozenset({CONFIG, WEIGHTS, "metadata.json"})
ASSETS = "assets/"
# Keras stores its members as they are: what unpacks to a multiple of the file is no model.
MOST_EXPANSION = 100
ROOM_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """What a `.keras` file holds.

    Attributes:
        config: what Keras builds the model from.
        members: the other members, by name.
    """

    config: Mapping[str, Any]
    members: Mapping[str, bytes]

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
            members = {name: source.read(name) for name in source.namelist()}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise _refusal(path, f"is no whole zip file ({error})") from error
    _check_weights(path, members[WEIGHTS])
    return Archive(_parsed(path, members.pop(CONFIG)), members)


def _refusal(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{path}: {found}; expected a .keras file as Keras 3 writes it with "
        "model.save('model.keras')"
    )


def _refuse_foreign_members(path: Path, source: zipfile.ZipFile) -> None:
    names = source.namelist()
    for name in names:
        is_asset = name.startswith(ASSETS) and ".." not in name.split("/") and "\\" not in name
        if name not in EXPECTED and not is_asset:
            raise _refusal(path, f"holds {name!r}")
        if names.count(name) > 1:
            raise _refusal(path, f"holds {name} twice")
    for name in (CONFIG, WEIGHTS):
        if name not in names:
            raise _refusal(path, f"has no {name}")
    unpacked = sum(member.file_size for member in source.infolist())
    if unpacked > MOST_EXPANSION * path.stat().st_size + ROOM_BYTES:
        raise _refusal(path, f"unpacks to {unpacked:,} bytes")


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"has a {CONFIG} that is no JSON ({error})") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise _refusal(path, f"has a {CONFIG} that names no model")
    return config


def _check_weights(path: Path, content: bytes) -> None:
    """Refuses arrays that lie in other files, or are far larger than what is stored.

    Keras looks at the arrays that it reads, and lets each of them claim 4 GiB.
    """
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            declared = _declared_bytes(path, file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _refusal(path, f"has weights that are no whole HDF5 file ({error})") from error
    if declared > MOST_EXPANSION * len(content) + ROOM_BYTES:
        raise _refusal(path, f"declares weights of {declared:,} bytes in {len(content):,}")


def _declared_bytes(path: Path, root: Any) -> int:
    import h5py

    total, waiting = 0, [root]
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refusal(path, f"has weights that are a link ({group.name}/{name})")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise _refusal(path, f"has weights in another file ({item.name})")
            else:
                total += item.size * item.dtype.itemsize
    return total
