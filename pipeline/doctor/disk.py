"""Whether the artifacts folder and the place for temporary files can be used, and have room."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from pipeline.core.command_hints import run_pipeline
from pipeline.core.plugins import ROOT
from pipeline.doctor.finding import Finding
from pipeline.doctor.proc import file_system_type
from pipeline.workflow import graph

ENOUGH_BYTES = 2e9
LEAST_BYTES = 2e8
ENOUGH_TEMPORARY_BYTES = 5e8
ENOUGH_FILES = 10_000
IN_MEMORY = {"tmpfs", "ramfs"}


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
