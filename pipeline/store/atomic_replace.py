"""A folder takes the place of another that has its name, durably, while rivals do the same."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR

from pipeline.core.durable import MOST_RIVALS, make_folder, sync
from pipeline.store.stale_files import REPLACED

TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
REMOVED = errno.ENOENT  # the folder around the name, which was empty, by a run that made nothing


def stamp_of(folder: Path) -> tuple[int, int] | None:
    """Differs where another folder has the name; None where no folder has it."""
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_ino, found.st_ctime_ns) if S_ISDIR(found.st_mode) else None


def put(folder: Path, target: Path) -> None:
    """Renames a folder to a name that another may have, and waits until the disk knows.

    Raises:
        OSError: the disk does not do it; what had the name has it again.
    """
    replaced = folder.with_name(f"{folder.name}{REPLACED}")
    for _ in range(MOST_RIVALS):
        make_folder(target.parent)
        with suppress(FileNotFoundError):
            target.rename(replaced)
        try:
            folder.rename(target)
            sync(target.parent)
        except OSError as error:
            if error.errno in TAKEN:  # a rival was quicker
                shutil.rmtree(replaced, ignore_errors=True)
                continue
            if error.errno == REMOVED and folder.is_dir():
                make_folder(target.parent)
                with suppress(OSError):
                    replaced.rename(target)
                continue
            with suppress(OSError):
                target.rename(folder)
            with suppress(OSError):
                replaced.rename(target)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
        return
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(target))
