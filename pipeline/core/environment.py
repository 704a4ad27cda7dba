"""What an artifact was made with: git commit, Python, platform, library versions."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.core.plugins import IS_INSTALLED, ROOT, exporters

LIBRARIES = ("tensorflow", "keras", "keras-tuner", "tensorflow-datasets", "numpy")
"""Of training; exporters name their own."""


def describe() -> dict[str, Any]:
    """Plain data for a manifest."""
    return {
        "git_commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "libraries": library_versions(),
    }


def library_versions() -> dict[str, str | None]:
    """By name; none of a library that is not installed."""
    of_exporters = (name for exporter in exporters() for name in exporter.LIBRARIES)
    return {name: version(name) for name in dict.fromkeys((*LIBRARIES, *of_exporters))}


@cache
def version(distribution: str) -> str | None:
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None
    # As `found.version`, which parses the whole file as an e-mail: 20 ms for what a run asks of.
    lines = (found.read_text("METADATA") or "").splitlines()
    said = next((line for line in lines if line.startswith("Version: ")), None)
    return said.removeprefix("Version: ").strip() if said else found.version


def git_commit() -> str | None:
    """The checked-out commit, with `+changes` if the code differs from it; none if installed."""
    if IS_INSTALLED:
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def processor() -> str:
    """The processor's own name where the system tells it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if "model name" in line)
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()
