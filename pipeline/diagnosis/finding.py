"""Finding: what one check of the machine saw, and what to do about it."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        name: of the check, in a word or two.
        level: `warn` where runs work, but not as well as they could; `fail` where they would not.
        found: in words.
        remedy: a command that can be pasted, or else what to do; empty where all is well.
    """

    name: str
    level: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        assert (self.level == "ok") == (not self.remedy), f"{self.name}: {self.remedy!r}"


def python() -> str:
    """This interpreter, as it is called from the folder one works in."""
    path, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def pip(*arguments: str) -> str:
    """A call of pip that works on this interpreter's libraries."""
    return f"{python()} -m pip {shlex.join(arguments)}"


def install_pins() -> str:
    """Installs what requirements.txt names, from wherever one works."""
    return pip("install", "-r", _shown("requirements.txt"))


def run_pipeline(*arguments: str) -> str:
    return f"{python()} {shlex.quote(_shown('run_pipeline.py'))} {shlex.join(arguments)}"


def _shown(name: str) -> str:
    from pipeline.plugins import ROOT

    return os.path.relpath(ROOT / name) if Path.cwd().is_relative_to(ROOT) else str(ROOT / name)
