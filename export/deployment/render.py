"""Fills `export/runtimes/`, the examples that people copy, with what a model is really like."""

from collections.abc import Iterator, Mapping
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


def render(contract: Contract, folder: Path) -> None:
    """Writes `runtimes/<runtime>/…` where the contract says all that an example needs.

    Args:
        contract: with the formats that were written, and no other.
        folder: the export artifact.
    """
    variables = _variables(contract)
    for path in _examples(contract):
        runtimes.fill(path, folder / "runtimes" / path.removesuffix(runtimes.SUFFIX), variables)


def render_measured(
    contract: Contract, folder: Path, image: "np.ndarray", timeout_seconds: float
) -> dict[str, str]:
    """Writes the examples that show what a runtime made of the files.

    Args:
        contract: with the formats that were written, and no other.
        folder: the export artifact.
        image: uint8 (height, width, channels), a real one.
        timeout_seconds: what a runtime may take.

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
    turned = [
        (name, known) for name, known in contract.formats.items() if known.input.layout == "NCHW"
    ]
    return {
        "contract": contract,
        "labels": contract.output.labels,
        "formats": contract.formats,
        "tflite": _files(contract, TFLITE),
        "onnx": _files(contract, ONNX),
        "channels_first": [name for name, _ in turned],
        "channels_first_files": [known.file for _, known in turned],
        "height": height,
        "width": width,
        "channels": channels,
    }


def _examples(contract: Contract) -> Iterator[str]:
    """The templates that can run a format of the contract, by their path in `runtimes/`."""
    for file in sorted(runtimes.FOLDER.rglob("*")):
        path = file.relative_to(runtimes.FOLDER).as_posix()
        if file.is_file() and "node_modules" not in file.parts and _can_run(path, contract):
            yield path


def _can_run(path: str, contract: Contract) -> bool:
    most_specific = max((p for p in RUNS if _is_in(path, p)), key=len, default="")
    return bool(_files(contract, RUNS.get(most_specific, ())))


def _files(contract: Contract, endings: tuple[str, ...]) -> list[str]:
    return [
        promised.file for promised in contract.formats.values() if promised.file.endswith(endings)
    ]


def _is_in(path: str, prefix: str) -> bool:
    return path.removesuffix(runtimes.SUFFIX) == prefix or path.startswith(f"{prefix}/")
