"""Finds plug-ins: sources and presets, named as their files are, and exporters by their formats."""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
SOURCES = "pipeline.data.sources"
MODELS = "pipeline.models"


@cache
def names(package: str) -> tuple[str, ...]:
    """Names of the plug-ins in a package, in order; files with a leading underscore are none."""
    folder = ROOT / package.replace(".", "/")
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """The plug-in's module. It imports nothing heavy until its work function is called."""
    return importlib.import_module(f"{package}.{name}")


@cache
def exporters() -> tuple[ModuleType, ...]:
    """The modules that write formats; none of them imports a heavy library."""
    files = sorted((ROOT / "export").glob("*/*exporter.py"))
    return tuple(importlib.import_module(f"export.{f.parent.name}.{f.stem}") for f in files)
