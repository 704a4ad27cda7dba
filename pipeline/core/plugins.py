"""Finds plug-ins: the name in the config is the file's name."""

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
