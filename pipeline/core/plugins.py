"""Finds plug-ins: sources and presets, named as their files are, and exporters by their formats.

Each is a module with all that the protocol of its kind has; mypy compares their types too.
"""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
IS_INSTALLED = (ROOT / "__init__.py").exists()  # as the package evenkeel, among libraries
HOME = Path() if IS_INSTALLED else ROOT
"""Where artifacts go unless told otherwise: a checkout's own folder, or where one works."""
SOURCES = "pipeline.data.sources"
MODELS = "pipeline.models"
EXPORTERS = "export.formats.format"
PROTOCOLS = {SOURCES: "Source", MODELS: "Preset", EXPORTERS: "Exporter"}
"""The name of each kind's protocol, by the module that holds it."""


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the plug-ins in a package, in order; files with a leading underscore are none."""
    folder = ROOT / package.replace(".", "/")
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))


def load(package: str, name: str) -> Any:
    """The plug-in's module. It imports nothing heavy until its work function is called.

    Raises:
        ConfigError: it lacks a name that its protocol has.
    """
    return _whole(f"{package}.{name}", package)


@cache
def exporters() -> tuple[Any, ...]:
    """The modules that write formats; none of them imports a heavy library.

    Raises:
        ConfigError: one lacks a name that its protocol has.
    """
    files = sorted((ROOT / "export").glob("*/*exporter.py"))
    return tuple(_whole(f"export.{f.parent.name}.{f.stem}", EXPORTERS) for f in files)


def _whole(name: str, kind: str) -> Any:
    module = importlib.import_module(name)
    protocol = getattr(importlib.import_module(kind), PROTOCOLS[kind])
    wanted = [member for member in vars(protocol) if not member.startswith("_")]
    if lacking := [member for member in wanted if not hasattr(module, member)]:
        raise ConfigError(
            f"{name.replace('.', '/')}.py: has no {' and no '.join(lacking)}; {PROTOCOLS[kind]} in "
            f"{kind} says what is expected of it, and CONTRIBUTING.md shows how"
        )
    return module
