"""Sealed JSON: its text ends with the SHA-256 of all else that it says, so that damage shows."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.durable import sync

SEAL = "sha256"


def sealed(values: Mapping[str, Any]) -> str:
    """The text of the values, to the letter, with its seal."""
    unsealed = {name: value for name, value in values.items() if name != SEAL}
    seal = hashlib.sha256(json.dumps(unsealed).encode()).hexdigest()
    return json.dumps({**unsealed, SEAL: seal}, indent=2) + "\n"


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Writes the values, and waits until the disk has them."""
    path.write_bytes(sealed(values).encode())
    sync(path)


def read_sealed(path: Path) -> dict[str, Any]:
    """The values in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not as it was written.
    """
    try:
        text = path.read_bytes().decode()
        values = json.loads(text)
        if isinstance(values, dict) and text == sealed(values):
            values.pop(SEAL)
            return values
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    raise ValueError("not as it was written")
