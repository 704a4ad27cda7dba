"""What the system said of a file or its disk, in one line with a remedy."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import StageError

ELSEWHERE = "or name another folder with --artifacts"
ROOM = f"Make room on its disk (`df -h` and `df -i` tell), {ELSEWHERE}"
REMEDIES = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: f"Make room within your quota, {ELSEWHERE}",
    errno.EFBIG: f"Raise the largest size of a file (`ulimit -f`), {ELSEWHERE}",
    errno.EIO: f"Its disk may be failing: check it, {ELSEWHERE}",
    errno.EROFS: "It can only be read: name another folder with --artifacts",
    errno.EACCES: f"Give yourself access to it, {ELSEWHERE}",
    errno.EPERM: f"Give yourself access to it, {ELSEWHERE}",
    errno.EMFILE: "Allow more open files (`ulimit -n 4096`)",
    errno.ENFILE: "Too many files are open on this machine: end other programs",
    errno.ENOMEM: "Free memory: end other programs",
    errno.ELOOP: f"A link there leads to itself: mend it, {ELSEWHERE}",
    errno.ENAMETOOLONG: "Name a folder with a shorter path with --artifacts",
    errno.ENOTDIR: f"A part of its path is a file: move that away, {ELSEWHERE}",
    errno.EEXIST: f"A file has that name: move it away, {ELSEWHERE}",
    errno.EBUSY: "Another program uses it: end that",
}
OTHER = "Check its disk and who else uses it"


def disk_trouble(error: OSError, place: object, refused: str = "") -> str:
    """Says which file it is, what the system says of it, and what to do.

    Args:
        error: what the system said.
        place: where it was, for an error that does not tell.
        refused: what cannot be done with it.
    """
    named = error.filename2 or error.filename  # of a rename or a link the new name
    where = os.fsdecode(named) if isinstance(named, str | bytes) else place
    said = ": ".join(filter(None, (refused, error.strerror or str(error))))
    remedy = REMEDIES.get(error.errno or 0, OTHER)
    return f"{where}: {said}. {remedy}; then the same command goes on"


@contextmanager
def trouble_is_a_stage_error(stage: str, place: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StageError(f"{stage}: {disk_trouble(error, place)}") from error
