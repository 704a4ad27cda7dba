"""What the system or a library says of a full disk or memory, in one line with a remedy."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.errors import StageError
from pipeline.core.processes import address_space_bytes

ELSEWHERE = "name another folder with --artifacts"
ROOM = "Make room on its disk (`df -h` and `df -i` tell), or {elsewhere}"
REMEDIES = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: "Make room within your quota, or {elsewhere}",
    errno.EFBIG: "Raise the largest size of a file (`ulimit -f`), or {elsewhere}",
    errno.EIO: "Its disk may be failing: check it, or {elsewhere}",
    errno.EROFS: "It can only be read: {elsewhere}",
    errno.EACCES: "Give yourself access to it, or {elsewhere}",
    errno.EPERM: "Give yourself access to it, or {elsewhere}",
    errno.EMFILE: "Allow more open files (`ulimit -n 4096`)",
    errno.ENFILE: "Too many files are open on this machine: end other programs",
    errno.ENOMEM: "Free memory: end other programs",
    errno.ELOOP: "A link there leads to itself: mend it, or {elsewhere}",
    errno.ENAMETOOLONG: "A shorter path is needed: {elsewhere}",
    errno.ENOTDIR: "A part of its path is a file: move that away, or {elsewhere}",
    errno.EEXIST: "A file has that name: move it away, or {elsewhere}",
    errno.EBUSY: "Another program uses it: end that",
}
OTHER = "Check its disk and who else uses it"
# TensorFlow and HDF5 tell what the system said in words alone.
DISK = re.compile(
    r"no space left on device|disk quota exceeded|file too large|input/output error"
    r"|read-only file system|(can't|unable to) (synchronously )?(write|flush|close|truncate)",
    re.IGNORECASE,
)
MEMORY = re.compile(
    r"out of memory|\boom\b|bad_alloc|(cannot|failed to|unable to) allocate|can't start new thread"
    r"|resource temporarily unavailable",
    re.IGNORECASE,
)
LIBRARIES = ("builtins", "tensorflow", "keras", "h5py", "numpy", "onnx")
LONGEST = 200
# With less than the 3 GB that a small network takes on two processors, TensorFlow ends the process
# by SIGABRT or SIGSEGV instead of raising an error.
LEAST_ADDRESS_BYTES = 4 << 30


def disk_trouble(
    error: OSError, place: object, refused: str = "", elsewhere: str = ELSEWHERE
) -> str:
    """Says which file it is, what the system says of it, and what to do.

    Args:
        error: what the system said.
        place: where it was, for an error that does not tell.
        refused: what cannot be done with it.
        elsewhere: how to go on in another place.
    """
    named = error.filename2 or error.filename  # of a rename or a link the new name
    where = os.fsdecode(named) if isinstance(named, str | bytes) else place
    said = ": ".join(filter(None, (refused, error.strerror or str(error))))
    remedy = REMEDIES.get(error.errno or 0, OTHER).format(elsewhere=elsewhere)
    return f"{where}: {said}. {remedy}; then the same command goes on"


@contextmanager
def trouble_is_a_stage_error(stage: str, place: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StageError(f"{stage}: {disk_trouble(error, place)}") from error


def refuse_small_limit(stage: str) -> None:
    """Refuses to begin where the limit of this process leaves a library no room.

    Raises:
        StageError: it does.
    """
    limit = address_space_bytes()
    if limit is not None and limit < LEAST_ADDRESS_BYTES:
        raise StageError(
            f"{stage}: too little memory: `ulimit -v` leaves this process "
            f"{limit / 2**30:.1f} GiB, expected at least {LEAST_ADDRESS_BYTES >> 30}; raise it "
            "with `ulimit -v unlimited` and run again"
        )


@contextmanager
def library_trouble_is_a_stage_error(stage: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        words = _in_words(error) if _is_of_library(error) else None
        if words is None:
            raise
        raise StageError(f"{stage}: {words}") from error


def _is_of_library(error: Exception) -> bool:
    """Whether a library raised it: Python's own classes serve them too, and ours do not count."""
    has_number = isinstance(error, OSError) and error.errno is not None
    return type(error).__module__.partition(".")[0] in LIBRARIES and not has_number


def _in_words(error: Exception) -> str | None:
    if said := _line_with(DISK, error):
        return (
            f"a file could not be written ({said}). Make room on its disk, or "
            "name another folder with --artifacts; then the same command goes on"
        )
    is_named_so = isinstance(error, MemoryError) or "ResourceExhausted" in type(error).__name__
    said = _line_with(MEMORY, error)
    if said or is_named_so:
        return (
            f"too little memory ({said or type(error).__name__}). Lower train.batch_size or "
            "train.memory_limit_mib, end other programs, or raise the limit (`ulimit -v`); then "
            "run again"
        )
    return None


def _line_with(pattern: re.Pattern[str], error: Exception) -> str:
    """Of what a library says, the line that tells; the others tell where it was in its graph."""
    lines = (line.strip() for line in str(error).splitlines() if pattern.search(line))
    return next(lines, "")[:LONGEST]
