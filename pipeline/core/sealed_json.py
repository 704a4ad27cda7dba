"""Sealed JSON: its text ends with the SHA-256 of all that is before, so that damage shows."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.durable import sync

SEAL = "sha256"


def sealed(values: Mapping[str, Any]) -> bytes:
    """The values, of which there is one at least, as JSON that ends with its seal."""
    unsealed = {name: value for name, value in values.items() if name != SEAL}
    assert unsealed
    text = json.dumps(unsealed, indent=2).removesuffix("\n}") + ",\n"
    return text.encode() + _seal(text.encode())


def _seal(before: bytes) -> bytes:
    return f'  "{SEAL}": "{hashlib.sha256(before).hexdigest()}"\n}}\n'.encode()


LENGTH = len(_seal(b""))


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Writes the values, and waits until the disk has them."""
    path.write_bytes(sealed(values))
    sync(path)


def read_sealed(path: Path) -> dict[str, Any]:
    """The values in a file, which is not parsed unless its seal holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not as it was written.
    """
    return unsealed(path.read_bytes())


def unsealed(content: bytes) -> dict[str, Any]:
    """The values of sealed JSON, which is not parsed unless its seal holds.

    Raises:
        ValueError: it is not as it was written.
    """
    if content[-LENGTH:] != _seal(content[:-LENGTH]):
        raise ValueError("not as it was written")
    try:
        values: dict[str, Any] = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    values.pop(SEAL)
    return values
