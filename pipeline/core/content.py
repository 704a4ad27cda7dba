"""What a file holds, by its bytes: its digest, and its kind where its name says another."""

import hashlib
import re
from pathlib import Path

HEAD_BYTES = 512
HDF5 = "an HDF5 file"
KINDS = {
    name: re.compile(head, re.DOTALL | re.IGNORECASE)
    for name, head in {
        "a web page": rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head)",
        "an XML message": rb"\s*<\?xml",
        "a pointer of Git LFS": rb"version https://git-lfs",
        HDF5: rb"\x89HDF\r\n\x1a\n",
        "a pickle of Python objects": rb"\x80[\x02-\x05]",
        "a tar archive": rb".{257}ustar",
        "a zip archive": rb"PK\x03\x04",
        "a gzip archive": rb"\x1f\x8b",
        "a 7z archive": rb"7z\xbc\xaf\x27\x1c",
        "a RAR archive": rb"Rar!\x1a\x07",
        "a PDF": rb"%PDF-",
    }.items()
}


def kind_of(path: Path) -> str | None:
    """Such as `a web page`; None where the first bytes say nothing."""
    with path.open("rb") as file:
        return kind_of_bytes(file.read(HEAD_BYTES))


def kind_of_bytes(head: bytes) -> str | None:
    return next((name for name, pattern in KINDS.items() if pattern.match(head)), None)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
