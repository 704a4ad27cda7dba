"""Whether the folders that a run writes to can be used, have room, and can do what it rests on."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Literal

from filelock import FileLock, Timeout

from pipeline.core.command_hints import run_pipeline
from pipeline.core.durable import sync
from pipeline.core.plugins import ROOT
from pipeline.doctor.finding import Finding
from pipeline.doctor.hardware import file_system_type
from pipeline.workflow import graph

ENOUGH_BYTES = 2e9
LEAST_BYTES = 2e8
ENOUGH_TEMPORARY_BYTES = 5e8
ENOUGH_FILES = 10_000
IN_MEMORY = {"tmpfs", "ramfs"}
RIVAL_SECONDS = 20
RIVAL = (
    "import sys, filelock\n"
    "try: filelock.FileLock(sys.argv[1]).acquire(timeout=0)\n"
    "except filelock.Timeout: sys.exit(9)\n"
)
KEPT_OUT = 9
# Without it, two runs may make the same artifact, each for itself; none is damaged by that.
MAY_LACK = {"lock"}


def nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    absolute = _resolved(folder)
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _resolved(folder: Path) -> Path:
    return Path(os.path.realpath(folder))  # resolve() raises where links form a loop


def examine_folder(artifacts: Path) -> Iterator[Finding]:
    """Whether artifacts could be written there: one finding, a failure where not."""
    place, other = nearest(artifacts), run_pipeline("--artifacts", "FOLDER")
    absolute = _resolved(artifacts)
    if absolute == ROOT:
        yield Finding("artifacts", "fail", f"{artifacts} is the program's own folder", other)
    elif any(path.is_symlink() for path in (absolute, *absolute.parents)):
        yield Finding("artifacts", "fail", f"{artifacts}: its links lead round in a circle", other)
    elif not place.is_dir():
        yield Finding("artifacts", "fail", f"{place} is a file, not a folder", other)
    elif why := _why_not_writable(place):
        owner = f"ls -ld {quote(str(place))} shows whose it is; or name another: {other}"
        yield Finding("artifacts", "fail", f"{place} cannot be written: {why}", owner)
    elif stray := _stage_elsewhere(place):
        found = f"{stray} is on another disk than the rest, so nothing can be moved to it"
        remedy = f"move it back, or all of {place} to that disk"
        yield Finding("artifacts", "fail", found, remedy)
    elif locked := _stage_not_writable(place):
        yield Finding(
            "artifacts", "fail", f"{locked} cannot be written", f"chmod u+w {quote(str(locked))}"
        )
    else:
        there = str(artifacts) if place == absolute else f"{artifacts}, to be made"
        yield Finding("artifacts", "ok", f"{there}; can be written")


def _why_not_writable(place: Path) -> str:
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _stage_elsewhere(place: Path) -> Path | None:
    """A folder of a stage that lies on another file system than where its artifacts are made."""
    device = place.stat().st_dev
    return next((path for path in _parts(place) if path.stat().st_dev != device), None)


def _stage_not_writable(place: Path) -> Path | None:
    return next((path for path in _parts(place) if not os.access(path, os.W_OK | os.X_OK)), None)


def _parts(place: Path) -> list[Path]:
    """The folders in it that runs put artifacts and records into."""
    names = (".staging", ".quarantine", "runs", *graph.NAMES)
    return [path for name in names if (path := place / name).is_dir()]


def examine_space(artifacts: Path) -> Iterator[Finding]:
    """Room for artifacts, in bytes and in files."""
    place = nearest(artifacts)
    free = shutil.disk_usage(place).free
    kind = file_system_type(place)
    found = f"{_gigabytes(free)} free, {kind}"
    elsewhere = f"name one on another disk: {run_pipeline('--artifacts', 'FOLDER')}"
    if free < LEAST_BYTES:
        yield Finding("disk", "fail", f"{found}; too little for a run", elsewhere)
    elif free < ENOUGH_BYTES:
        yield Finding(
            "disk", "warn", f"{found}; a run may take {ENOUGH_BYTES / 1e9:g} GB", elsewhere
        )
    elif (files := _files_left(place)) is not None and files < ENOUGH_FILES:
        found += f", but room for {files:,} more files only"
        yield Finding("disk", "warn", found, f"df -i {quote(str(place))} shows it; {elsewhere}")
    elif kind in IN_MEMORY:
        yield Finding("disk", "warn", f"{found}: gone after a restart", elsewhere)
    else:
        yield Finding("disk", "ok", found)


def _files_left(place: Path) -> int | None:
    """For how many more files there is room; none where the file system has no such bound."""
    if not hasattr(os, "statvfs"):  # on Windows
        return None
    counts = os.statvfs(place)
    return counts.f_favail if counts.f_files else None


def examine_temporary() -> Iterator[Finding]:
    """Where converters put what they work with."""
    set_other = "export TMPDIR=FOLDER, one that can be written and has room"
    try:
        place = Path(tempfile.gettempdir())
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield Finding(
            "temporary", "fail", f"no usable folder: {error.strerror or error}", set_other
        )
        return
    found = f"{place}; {_gigabytes(free)} free"
    if why := _why_not_writable(place):
        yield Finding("temporary", "fail", f"{place} cannot be written: {why}", set_other)
    elif free < ENOUGH_TEMPORARY_BYTES:
        found += f", {_gigabytes(ENOUGH_TEMPORARY_BYTES)} may be needed"
        yield Finding("temporary", "warn", found, set_other)
    else:
        yield Finding("temporary", "ok", found)


def _gigabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


def try_rename(folder: Path) -> str:
    """A folder with a file in it gets a new name in another folder."""
    made, target = folder / ".staging" / "made", folder / "train" / "key"
    made.mkdir(parents=True)
    (made / "manifest.json").write_text("{}", "utf-8")
    target.parent.mkdir()
    made.rename(target)
    return "" if (target / "manifest.json").is_file() else "the renamed folder lost its file"


def try_fsync(folder: Path) -> str:
    """A file, and the names in its folder, reach the disk."""
    file = folder / "synced"
    file.write_text("{}", "utf-8")
    sync(file)
    sync(folder)
    return ""


def try_lock(folder: Path) -> str:
    """What one process locks, another cannot."""
    path = folder / "one.lock"
    with FileLock(path):
        rival = [sys.executable, "-c", RIVAL, str(path)]
        done = subprocess.run(rival, capture_output=True, text=True, timeout=RIVAL_SECONDS)
    if done.returncode == KEPT_OUT:
        return ""
    last = (done.stderr.strip().splitlines() or ["both got it"])[-1]
    return f"a second process was not kept out: {last}"


def try_links(folder: Path) -> str:
    """A run is a folder of relative links to its artifacts."""
    (folder / "linked").mkdir()
    link = folder / "link"
    link.symlink_to("linked", target_is_directory=True)
    return "" if link.resolve() == (folder / "linked").resolve() else "a link leads elsewhere"


ABILITIES: Mapping[str, Callable[[Path], str]] = {
    "rename": try_rename,
    "fsync": try_fsync,
    "lock": try_lock,
    "links": try_links,
}


def examine_abilities(
    artifacts: Path, abilities: Mapping[str, Callable[[Path], str]] = ABILITIES
) -> Iterator[Finding]:
    """One finding for each ability that is lacking, or one that none is; leaves nothing behind."""
    place = nearest(artifacts)
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as scratch:
        wrong = {name: _tried(ability, Path(scratch)) for name, ability in abilities.items()}
        ignores_case = (Path(scratch) / "SYNCED").exists()
    for name, why in wrong.items():
        if why:
            level: Literal["warn", "fail"] = "warn" if name in MAY_LACK else "fail"
            remedy = f"name one on a local disk: {run_pipeline('--artifacts', 'FOLDER')}"
            yield Finding(name, level, f"does not work in {place}: {why}", remedy)
    if not any(wrong.values()):
        case = "; names differ by more than case" if ignores_case else ""
        yield Finding("file system", "ok", f"{_together([*wrong])} work{case}")


def _together(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _tried(ability: Callable[[Path], str], folder: Path) -> str:
    try:
        return ability(folder)
    except (OSError, NotImplementedError, Timeout, subprocess.TimeoutExpired) as error:
        return getattr(error, "strerror", None) or str(error)
