"""Fills `export/runtimes/`, the examples that people copy, with what a model is really like."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from export import templates
from export.contract import Contract

ONNX = ("onnx", "onnx_int8")
TFLITE = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8")
# Which formats an example can run; one that can run none of those written is left out.
RUNS: Mapping[str, tuple[str, ...]] = {
    "android": TFLITE,
    "node": ONNX,
    "python/classify_litert.py": TFLITE,
    "python/classify_onnx.py": ONNX,
    "python": (*TFLITE, *ONNX),
    "web": ("onnx", "tflite_float32"),
}


def render(contract: Contract, folder: Path) -> None:
    """Writes `runtimes/<runtime>/…` into the folder.

    Args:
        contract: with the formats that were written, and no other.
        folder: the export artifact.
    """
    variables = _variables(contract)
    for path in _examples(contract):
        templates.fill(path, folder / "runtimes" / path.removesuffix(templates.SUFFIX), variables)


def _variables(contract: Contract) -> dict[str, Any]:
    height, width, channels = contract.input.shape
    return {
        "contract": contract,
        "labels": contract.output.labels,
        "formats": contract.formats,
        "tflite": [contract.formats[name].file for name in TFLITE if name in contract.formats],
        "onnx": [contract.formats[name].file for name in ONNX if name in contract.formats],
        "height": height,
        "width": width,
        "channels": channels,
    }


def _examples(contract: Contract) -> Iterator[str]:
    """The templates that can run a format of the contract, by their path in `runtimes/`."""
    for file in sorted(templates.FOLDER.rglob("*")):
        path = file.relative_to(templates.FOLDER).as_posix()
        if file.is_file() and "node_modules" not in file.parts and _can_run(path, contract):
            yield path


def _can_run(path: str, contract: Contract) -> bool:
    most_specific = max((p for p in RUNS if _is_in(path, p)), key=len, default="")
    return not contract.formats.keys().isdisjoint(RUNS.get(most_specific, ()))


def _is_in(path: str, prefix: str) -> bool:
    return path.removesuffix(templates.SUFFIX) == prefix or path.startswith(f"{prefix}/")
