"""What the system said of a file or its disk, in one line with a remedy."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.core.errors import StageError

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
