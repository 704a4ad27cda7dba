"""What every exporter is made of, and the registry that finds exporters by file name."""

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from export.interface import FLOAT32, Interface, Tensor, TensorType
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
        child: name of the process that writes it; formats of one name share its start-up time.
        needs: names of formats that must be written before this one.
        batch: the number of images that it takes at once; `N` is any.
        input_type: how it takes pixels 0..255.
        output_type: how it gives probabilities 0..1.
    """

    name: str
    path: str
    gate: Gate
    options: type[Section] = NoOptions
    child: str = "graph"
    needs: tuple[str, ...] = ()
    batch: int | str = "N"
    input_type: TensorType = FLOAT32
    output_type: TensorType = FLOAT32

    def interface(self, image_shape: tuple[int, ...], num_classes: int) -> Interface:
        """What a file of this format must take and give."""
        return Interface(
            Tensor("image", (self.batch, *image_shape), self.input_type),
            Tensor("probabilities", (self.batch, num_classes), self.output_type),
        )


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter needs to write one format.

    Attributes:
        format_name: the format to write.
        model: the trained float32 `model.keras`.
        folder: where the format goes, under its `path`.
        calibration: `.npy` of uint8 (count, height, width, channels) training images.
        options: the values of `export.<format_name>`, as plain data.
        promised: what the file must take and give.
        workspace: a folder for what is written on the way, shared by formats of one export.
        needs: where the formats are that this one needs, by name.
    """

    format_name: str
    model: Path
    folder: Path
    calibration: Path
    promised: Interface
    workspace: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, Path] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / formats()[self.format_name].path


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


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def readable_size(size_bytes: int) -> str:
    """For a person: `45 kB` or `1.2 MB`, of 1,000 and 1,000,000 bytes."""
    kilobytes = round(size_bytes / 1000)
    if kilobytes >= 1000:
        return f"{size_bytes / 1e6:.1f} MB"
    return f"{kilobytes} kB" if kilobytes else f"{size_bytes} B"


def with_needed(names: Iterable[str]) -> tuple[str, ...]:
    """The formats, and those that they need, each after what it needs."""
    ordered: dict[str, None] = {}
    for name in names:
        ordered |= dict.fromkeys((*with_needed(formats()[name].needs), name))
    return tuple(ordered)
