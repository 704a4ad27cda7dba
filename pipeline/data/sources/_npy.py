"""Reads one array of numbers or texts from a NumPy archive, trusting nothing that it declares.

The format: a zip archive with one `.npy` member an array, each a header that declares type and
shape, then the values (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
"""

import math
import re
import zipfile
from typing import IO, TYPE_CHECKING

from pipeline.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

HEADER = re.compile(
    rb"\{'descr': '([^'\\]{1,99})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, ?){0,7}(?:[0-9]{1,18})?)\),? ?\}\s*"
)
LONGEST_HEADER = 2**16
NUMBERS = re.compile(r"[<>|=](?:[ui][1248]|f[248]|b1)")
TEXTS = re.compile(r"[<>|=][US][1-9][0-9]{0,3}")
PIECE_BYTES = 1 << 24


def read_array(
    where: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, may_be_text: bool = False
) -> "np.ndarray":
    """The array of a member, in the shape and type that its header declares; truths as 0 and 1.

    Raises:
        DataError: it holds no plain numbers (or texts), or not as many as declared.
    """
    import numpy as np

    with archive.open(member) as stream:
        kind, is_fortran, shape, header_bytes = _read_header(where, stream)
        _refuse_kind(where, kind, may_be_text=may_be_text)
        dtype = np.dtype("u1" if kind[1:] == "b1" else kind)
        size = math.prod(shape) * dtype.itemsize
        if size != member.file_size - header_bytes:
            raise DataError(
                f"{where} declares {shape} values of type {dtype} = {size:,} bytes, but holds "
                f"{member.file_size - header_bytes:,}. Write it again with numpy.savez."
            )
        if not size:
            raise DataError(f"{where} is empty: its shape is {shape}. Save some images there.")
        values = np.empty(math.prod(shape), dtype)
        _fill(stream, values.data.cast("B"))
    return values.reshape(shape, order="F" if is_fortran else "C")


def _read_header(where: str, stream: IO[bytes]) -> tuple[str, bool, tuple[int, ...], int]:
    """Type, whether the first axis runs fastest, shape, and the bytes read.

    NumPy's own reader evaluates the header as Python and may claim memory by what it says.
    """
    start = stream.read(8)
    size_bytes = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(stream.read(size_bytes), "little")
    header = stream.read(min(length, LONGEST_HEADER))
    match = HEADER.fullmatch(header)
    if start[:6] != b"\x93NUMPY" or not match:
        raise DataError(
            f"{where} has no header of a plain array of numbers. Write it again with numpy.savez."
        )
    kind = match[1].decode("latin-1")
    shape = tuple(int(part) for part in match[3].split(b",") if part.strip())
    return kind, match[2] == b"True", shape, 8 + size_bytes + len(header)


def _refuse_kind(where: str, kind: str, *, may_be_text: bool) -> None:
    if NUMBERS.fullmatch(kind) or (may_be_text and TEXTS.fullmatch(kind)):
        return
    what = "Python objects (pickles)" if "O" in kind else f"values of type {kind!r}"
    expected, target = ("numbers or texts", "str") if may_be_text else ("numbers", "uint8")
    raise DataError(
        f"{where} holds {what}, expected {expected}. Convert it with astype({target!r}) and save "
        "it again."
    )


def _fill(stream: IO[bytes], values: memoryview) -> None:
    """Reads in pieces, so that no second copy of the array stands in memory."""
    for at in range(0, len(values), PIECE_BYTES):
        piece = stream.read(min(PIECE_BYTES, len(values) - at))
        values[at : at + len(piece)] = piece
        if at + len(piece) < min(at + PIECE_BYTES, len(values)):
            raise EOFError("an array ends too early")
