"""What every exporter is made of, and the registry that finds exporters by file name."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.config import Gate, Section

if TYPE_CHECKING:
    import numpy as np


class NoOptions(Section):
    """For formats that have nothing to choose."""


@dataclass(frozen=True)
class Format:
    """One exported form.

    Attributes:
        name: as the config has it, such as `tflite_int8`.
        path: file or folder inside the export artifact.
        gate: what it must hold unless the config says otherwise.
        options: the model of `export.<name>`.
        needs: names of formats that must be written before this one.
    """

    name: str
    path: str
    gate: Gate
    options: type[Section] = NoOptions
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter needs to write one format.

    Attributes:
        format_name: the format to write.
        model: the trained float32 `model.keras`.
        folder: the export artifact; the format goes to its `path` in there.
        calibration: `.npy` of uint8 (count, height, width, channels) training images.
        options: the values of `export.<format_name>`, as plain data.
        workspace: a folder for what is written on the way, shared by formats of one export.
    """

    format_name: str
    model: Path
    folder: Path
    calibration: Path
    workspace: Path
    options: Mapping[str, Any] = field(default_factory=dict)


class Predictor(Protocol):
    """A format loaded in the runtime that its user will use."""

    runtime: str

    def predict(self, images: "np.ndarray") -> "np.ndarray":
        """Gives float32 (count, classes) probabilities for uint8 (count, h, w, c) images."""
        ...

    def prepare_one(self, image: "np.ndarray") -> Any:
        """Turns one uint8 (1, h, w, c) image into what `run_prepared` takes."""
        ...

    def run_prepared(self, prepared: Any) -> None:
        """Runs the model once on one prepared image: what latency is measured on."""
        ...


@cache
def _exporters() -> tuple[Any, ...]:
    """The modules in this folder that assign FORMATS; none of them imports a heavy library."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    names = [f.stem for f in files if re.search(r"^FORMATS\b", f.read_text(), re.MULTILINE)]
    return tuple(importlib.import_module(f"export.{name}") for name in names)


@cache
def formats() -> Mapping[str, Format]:
    """Every format of every exporter, by name."""
    return {f.name: f for module in _exporters() for f in module.FORMATS}


def exporter(format_name: str) -> Any:
    """The module whose FORMATS holds this format.

    Raises:
        KeyError: no exporter has it.
    """
    for module in _exporters():
        if any(f.name == format_name for f in module.FORMATS):
            return module
    raise KeyError(format_name)
