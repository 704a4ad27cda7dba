"""One row of the table of hostile inputs, and how long streams of zeros are packed small."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Hostile:
    """An input that must be refused.

    Attributes:
        make: writes files into an empty folder; gives what is typed after `run`.
        where: what the error names; the place in the file too, where there is one.
        remedy: what it says is to be done.
    """

    make: Callable[[Path], Sequence[str]]
    where: str
    remedy: str


def deflated_zeros(size_bytes: int, before: bytes = b"") -> bytes:
    """A raw deflate stream: `before`, then as many zeros, a multiple of a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + piece * (size_bytes // MEGABYTE) + packer.flush()
