"""Whether this Python, and what the shell tells it, is what the program was made for."""

import os
import platform
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.core.command_hints import python
from pipeline.core.plugins import ROOT
from pipeline.doctor.finding import Finding

EXPECTED = (3, 11)
LATEST = (3, 13)
BITS = 8 * struct.calcsize("P")
# What each variable must say, if it is set at all, and why.
VARIABLES = {
    "KERAS_BACKEND": ("tensorflow", "the pipeline's models are made and exported with TensorFlow"),
    "TF_USE_LEGACY_KERAS": ("0", "it puts Keras 2 in the place of Keras 3"),
}


def examine_python(
    version: tuple[int, int] = sys.version_info[:2], bits: int = BITS
) -> Iterator[Finding]:
    """The version, and whether a virtual environment keeps its libraries apart."""
    expected = ".".join(map(str, EXPECTED))
    shown = platform.python_version() if version == sys.version_info[:2] else _dotted(version)
    found = f"{shown}, {bits}-bit, {_place()}"
    new = f"python{expected} -m venv .venv && .venv/bin/python -m pip install -r requirements.txt"
    if sys.platform == "win32":
        new = new.replace("python", "py -", 1).replace(".venv/bin/", ".venv\\Scripts\\")
    if bits != 64:
        yield Finding("Python", "fail", f"{found}; TensorFlow needs 64-bit", new)
    elif version < EXPECTED:
        yield Finding("Python", "fail", f"{found}; {expected} is needed", new)
    elif version > LATEST:
        tried = f"{expected} to {_dotted(LATEST)}"
        yield Finding("Python", "warn", f"{found}; the pins are tested on {tried}", new)
    elif not _is_apart():
        yield Finding("Python", "warn", f"{found}: other programs share these libraries", new)
    else:
        yield Finding("Python", "ok", found)


def examine_variables(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Variables of the shell that would turn the libraries into others; none where all is well."""
    for name, (expected, why) in VARIABLES.items():
        value = environment.get(name, "")
        if value and value != expected:
            yield Finding("variable", "fail", f"{name} is {value!r}; {why}", f"unset {name}")


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _is_apart() -> bool:
    return sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ


def _place() -> str:
    if not _is_apart():
        return f"in no virtual environment ({python()})"
    prefix = Path(sys.prefix)
    return f"in {prefix.relative_to(ROOT) if prefix.is_relative_to(ROOT) else prefix}"
