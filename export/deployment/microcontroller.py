"""Writes what firmware needs to run an int8 TFLite file in TensorFlow Lite Micro, as C++."""

import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export import runtimes
from export.formats.contract import Contract
from export.formats.format import formats
from export.tflite import micro_interpreter
from export.tflite.flatbuffer import is_custom, kind, parse, steps
from pipeline.core.errors import ExportError

FORMAT = "tflite_int8"
C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "float32": "float"}
# MicroMutableOpResolver's methods that are not their operator's name in capitalised words.
IRREGULAR_METHODS = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}
BYTES_IN_A_ROW = 16


def write(model: Path, contract: Contract, folder: Path, timeout_seconds: float) -> None:
    """Fills the templates of `runtimes/microcontroller/` for a `tflite_int8` file into a folder.

    Raises:
        ExportError: TensorFlow Lite Micro does not run the model.
    """
    arena = micro_interpreter.smallest_arena(model, timeout_seconds)
    patches = patches_bytes(model)
    measured = {
        "model_bytes": model.stat().st_size,
        "model_array": array_rows(model.read_bytes()),
        "operators": operators(model),
        "arena_measured": arena,
        "arena_advised": arena + patches,
        "patches_bytes": patches,
        "runtime": f"TensorFlow Lite Micro {version('tflite-micro')}",
    }
    runtimes.fill_runtime("microcontroller", folder, measured | _contract_variables(contract))


def _contract_variables(contract: Contract) -> dict[str, Any]:
    """What the templates say of the contract, in C++'s words where it has its own."""
    height, width, channels = contract.input.shape
    promised = contract.formats[FORMAT]
    return {
        "contract": contract,
        "height": height,
        "width": width,
        "channels": channels,
        "labels": contract.output.labels,
        "label_literals": [string_literal(label) for label in contract.output.labels],
        "file": promised.file,
        "input": promised.input,
        "output": promised.output,
        "input_type": C_TYPES[promised.input.dtype],
        "output_type": C_TYPES[promised.output.dtype],
        "tolerance": formats()[FORMAT].tolerance,
    }


def string_literal(text: str) -> str:
    """A C++ string literal of the text's UTF-8 bytes, in ASCII.

    Octal escapes end after three digits; a hexadecimal one would swallow digits that follow it.
    """
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')  # two question marks begin a trigraph
    characters = (chr(b) if b in plain else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(characters)}"'


def array_rows(data: bytes) -> str:
    """The inside of a C array."""
    rows = (data[i : i + BYTES_IN_A_ROW] for i in range(0, len(data), BYTES_IN_A_ROW))
    return "\n".join("  " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)


def operators(path: Path) -> tuple[str, ...]:
    """The methods of MicroMutableOpResolver that add the operators of a TFLite file, and no others.

    Raises:
        ExportError: an operator is none of TFLite's own.
    """
    model, kinds = parse(path.read_bytes()), dict[str, None]()
    for _, step in steps(model):
        if is_custom(model, step):
            raise ExportError(
                f"{path.name}: has the operator {kind(model, step)!r}, which TensorFlow Lite Micro "
                "does not know; build the model of layers that TFLite has operators for"
            )
        kinds[kind(model, step)] = None
    return tuple(map(resolver_method, kinds))


def resolver_method(operator: str) -> str:
    """The method that adds one of TFLite's operators, such as `AddConv2D` for `CONV_2D`."""
    words = (word if word[0].isdigit() else word.capitalize() for word in operator.split("_"))
    return IRREGULAR_METHODS.get(operator, "Add" + "".join(words))


def patches_bytes(path: Path) -> int:
    """What CMSIS-NN's largest convolution takes of the arena on top of its tensors.

    It lays out four patches of an image in rows of 16 bytes, or two in 16 bits, which is no more:
    see `arm_convolve_s8_get_buffer_size`.
    """
    model, sizes = parse(path.read_bytes()), [0]
    for graph, step in steps(model):
        if kind(model, step) == "CONV_2D":
            _, height, width, channels = graph.tensors[step.inputs[1]].shape
            sizes.append(4 * 16 * math.ceil(height * width * channels / 16))
    return max(sizes)
