"""Fills `export/runtimes/`, the examples that people copy, with what a model is really like."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import runtimes
from export.deployment import microcontroller, tf_serving
from export.formats.contract import Contract
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

TFLITE, ONNX = (".tflite",), (".onnx",)
# How the names of the files end that an example can run; without one of them it is left out.
RUNS: Mapping[str, tuple[str, ...]] = {
    "android": TFLITE,
    "node": ONNX,
    "python/classify_litert.py": TFLITE,
    "python/classify_onnx.py": ONNX,
    "python": (*TFLITE, *ONNX),
    "web": (*TFLITE, *ONNX),
}
INK_ALONE = ("android/Ink.kt",)  # left out where the training images are something else


def render(contract: Contract, folder: Path) -> None:
    """Writes `runtimes/<runtime>/…` into an artifact: what runs the contract's formats."""
    variables = _variables(contract)
    for file in sorted(runtimes.FOLDER.rglob("*")):
        path = file.relative_to(runtimes.FOLDER).as_posix()
        is_ours = file.is_file() and "node_modules" not in file.parts
        is_ours &= path not in INK_ALONE or contract.input.preparation is not None
        if is_ours and _can_run(path, contract):
            runtimes.fill(path, folder / "runtimes" / path.removesuffix(runtimes.SUFFIX), variables)
    if contract.input.preparation and (python := folder / "runtimes" / "python").exists():
        from pipeline.data.images import ink

        shutil.copyfile(ink.__file__, python / "ink.py")


def render_measured(
    contract: Contract, folder: Path, image: "np.ndarray", timeout_seconds: float
) -> dict[str, str]:
    """As `render`, the examples that show what a runtime made of the files, and of a real image.

    The image is uint8 (height, width, channels); each runtime may take the time.

    Returns:
        Why an example is left out, by runtime.
    """
    places = {name: folder / "runtimes" / name for name in ("microcontroller", "serving")}
    left_out = {}
    try:
        if microcontroller.FORMAT in contract.formats:
            model = folder / contract.formats[microcontroller.FORMAT].file
            microcontroller.write(model, contract, places["microcontroller"], timeout_seconds)
    except ExportError as error:
        left_out["microcontroller"] = str(error)
    try:
        if tf_serving.FORMAT in contract.formats:
            tf_serving.write(folder, contract, image, places["serving"], timeout_seconds)
    except ExportError as error:
        left_out["serving"] = str(error)
    return left_out


def _variables(contract: Contract) -> dict[str, Any]:
    height, width, channels = contract.input.shape
    turned = {n: known.file for n, known in contract.formats.items() if known.input.layout}
    return {
        "contract": contract,
        "labels": contract.output.labels,
        "formats": contract.formats,
        "tflite": _files(contract, TFLITE),
        "onnx": _files(contract, ONNX),
        "channels_first": [*turned],
        "channels_first_files": [*turned.values()],
        "height": height,
        "width": width,
        "channels": channels,
    }


def _can_run(path: str, contract: Contract) -> bool:
    """Whether a template, by its path in `runtimes/`, can run a format of the contract."""
    of = [
        example
        for example in RUNS
        if path.removesuffix(runtimes.SUFFIX) == example or path.startswith(f"{example}/")
    ]
    return bool(of and _files(contract, RUNS[max(of, key=len)]))


def _files(contract: Contract, endings: tuple[str, ...]) -> list[str]:
    return [f.file for f in contract.formats.values() if f.file.endswith(endings)]
