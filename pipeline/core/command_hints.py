"""Commands that a person can paste: of this program and of pip."""

import os
import shlex
import sys
from pathlib import Path

from pipeline.core.plugins import HOME, IS_INSTALLED, ROOT

PROGRAM = "evenkeel" if IS_INSTALLED else "python run_pipeline.py"
"""What one types to call the program, from its folder if it is a checkout."""


def on_artifacts(artifacts: Path, *words: str) -> str:
    """A call as a user types it; names the folder unless it is the one that is taken anyway."""
    place = [] if artifacts == HOME / "artifacts" else ["--artifacts", str(artifacts)]
    return shlex.join([*PROGRAM.split(), *words, *place])


def mends(artifacts: Path) -> str:
    """What to do about an artifact that is damaged."""
    return f"`{on_artifacts(artifacts, 'check')}` says how to mend it"


def python() -> str:
    """This interpreter, as it is called from the folder one works in."""
    path, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def pip(*arguments: str) -> str:
    """A call of pip that works on this interpreter's libraries."""
    return f"{python()} -m pip {shlex.join(arguments)}"


def install_pins() -> str:
    """Installs what requirements.txt names, from wherever one works."""
    return pip("install", "-r", _path_from_here("requirements.txt"))


def run_pipeline(*arguments: str) -> str:
    if IS_INSTALLED:
        return f"{PROGRAM} {shlex.join(arguments)}"
    return f"{python()} {shlex.quote(_path_from_here('run_pipeline.py'))} {shlex.join(arguments)}"


def _path_from_here(name: str) -> str:
    return os.path.relpath(ROOT / name) if Path.cwd().is_relative_to(ROOT) else str(ROOT / name)
