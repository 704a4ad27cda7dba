"""Which release of TensorFlow Lite first knows each version of each operator, and so each file.

The facts of https://github.com/google-ai-edge/LiteRT, tflite/converter/tools/versioning, written
as a table.
"""

from typing import TYPE_CHECKING, Any

from export.tflite.flatbuffer import KERNEL_AND_BIAS, dtype_of, kind, scales, steps

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

FIRST = "1.5.0"
# What no version of an operator says. Before the first of these, a fully connected layer in 8 bits
# takes its first channel's scale for all channels, and answers wrongly without an error.
SCALE_A_CHANNEL, FOUR_BIT, SIXTEEN_BIT = "2.10.0", "2.11.0", "2.3.0"
# By version, from 1 on; a release of three parts that ends in 0 is written with two.
RELEASES = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13 2.23",
    "ADD_N": "1.14",
    "ARG_MAX": "1.9 1.14 2.9",
    "ARG_MIN": "1.9 1.14 2.9",
    "ATAN2": "2.10",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "BATCH_TO_SPACE_ND": "1.6 1.14 2.3 2.12",
    "BROADCAST_ARGS": "2.6",
    "BROADCAST_TO": "- 2.5 2.5 2.23",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17 2.21 2.23",
    "CEIL": "1.14",
    "CONCATENATION": "1.5 1.14 2.3 2.14 2.21 2.23 2.23",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
    "CONV_3D": "2.5",
    "CONV_3D_TRANSPOSE": "2.6",
    "COS": "1.14 2.23",
    "CUMSUM": "2.4",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13.1 1.14 1.15 2.2 2.7 2.18 2.21 2.22 2.23",
    "DIV": "1.6 2.3",
    "DYNAMIC_UPDATE_SLICE": "2.9 2.17 2.19 2.20 2.21 2.22",
    "ELU": "1.14",
    "EQUAL": "1.14 1.14 2.3 2.13 2.21",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FAKE_QUANT": "1.5 1.10",
    "FILL": "1.13 2.3 2.5 2.12 2.23",
    "FLOOR": "1.9",
    "FLOOR_DIV": "1.14 1.14 2.13",
    "FLOOR_MOD": "1.13 2.13",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18 2.21",
    "GATHER": "1.6 1.14 1.15 2.4 2.5 2.13 2.15 2.23",
    "GATHER_ND": "1.14 2.3 2.5 2.13 2.16 2.23",
    "GELU": "2.9 2.9 2.23",
    "GREATER": "1.14 1.14",
    "GREATER_EQUAL": "1.14 1.14 2.13",
    "HARD_SWISH": "1.15",
    "IF": "1.15",
    "L2_NORMALIZATION": "1.5 1.14",
    "L2_POOL_2D": "1.5",
    "LEAKY_RELU": "1.13.1 2.3",
    "LESS": "1.14 1.14 2.13",
    "LESS_EQUAL": "1.14 1.14",
    "LOCAL_RESPONSE_NORMALIZATION": "1.5",
    "LOG": "1.14 2.15",
    "LOGICAL_AND": "1.11",
    "LOGICAL_NOT": "1.11",
    "LOGICAL_OR": "1.11",
    "LOGISTIC": "1.14 1.14 2.3",
    "LOG_SOFTMAX": "1.14 1.14",
    "MATRIX_DIAG": "1.14",
    "MATRIX_SET_DIAG": "1.14",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13.1 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13 2.23",
    "NEG": "1.9",
    "NOT_EQUAL": "1.14 1.14 2.3 2.21",
    "ONE_HOT": "1.11",
    "PACK": "1.11 1.14 2.3 2.13 2.23",
    "PAD": "1.5 1.14 2.4 2.6 2.20 2.23",
    "PADV2": "1.9 1.14 2.4 2.6 2.20 2.23",
    "POW": "1.10",
    "PRELU": "1.8",
    "QUANTIZE": "1.14 1.15 2.7 2.21 2.21 2.21",
    "RANGE": "1.13 2.14",
    "RANK": "1.14",
    "REDUCE_ALL": "2.6",
    "REDUCE_ANY": "1.11",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "REDUCE_MIN": "1.11 1.14 2.5",
    "REDUCE_PROD": "1.11 2.6",
    "REDUCE_WINDOW": "2.15",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RELU_0_TO_1": "2.10",
    "RELU_N1_TO_1": "1.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13.1 1.14 2.3 2.4",
    "REVERSE_SEQUENCE": "1.14",
    "REVERSE_V2": "1.14 2.2 2.5 2.23",
    "ROUND": "1.14",
    "RSQRT": "1.10 2.5 2.15",
    "SCATTER_ND": "2.1",
    "SELECT": "1.14 1.14 2.12 2.12",
    "SELECT_V2": "2.2 2.12",
    "SHAPE": "1.10",
    "SIGN": "2.11 2.12",
    "SIN": "1.9 2.23",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14 2.21 2.23",
    "SOFTMAX": "1.5 1.14 2.3 2.23",
    "SPACE_TO_BATCH_ND": "1.6 1.14 2.3 2.12",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPLIT": "1.5 1.14 1.14 2.3 2.23",
    "SPLIT_V": "1.13.1 2.3 2.23",
    "SQRT": "1.10 2.21",
    "SQUARE": "1.12",
    "SQUARED_DIFFERENCE": "1.13.1 2.5",
    "SQUEEZE": "1.6 2.5",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10.1 2.2 2.8",
    "TOPK_V2": "1.7 1.14 2.13",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14.4 2.22 2.23",
    "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "1.13.1 1.14 2.3 2.12",
    "UNPACK": "1.11 1.14 2.2 2.3 2.22 2.23",
    "WHERE": "1.14 2.8",
    "WHILE": "1.15",
    "ZEROS_LIKE": "1.12",
}


def least(model: "ModelT", stated: str) -> str:
    """The first release that runs a model and gives its right answers, such as `2.4.0`.

    Not before `stated`, the writer's word, where the table lacks one of its operators.
    """
    found = [FIRST]
    for graph, step in steps(model):
        version = model.operatorCodes[step.opcodeIndex].version
        found.append(_first(kind(model, step), version) or stated)
        found.append(_first_right(model, graph, step))
    return max(found, key=as_numbers)


def as_numbers(release: str) -> tuple[int, ...]:
    """To compare releases by."""
    return tuple(map(int, release.split(".")))


def _first(operator: str, version: int) -> str | None:
    known = RELEASES.get(operator, "").split()
    if not 0 < version <= len(known) or known[version - 1] == "-":
        return None
    release = known[version - 1]
    return release if release.count(".") == 2 else f"{release}.0"


def _first_right(model: "ModelT", graph: Any, step: Any) -> str:
    """Of an operator that older releases may run and get wrong."""
    name = kind(model, step)
    if name not in KERNEL_AND_BIAS:
        return FIRST
    taken, kernel = graph.tensors[step.inputs[0]], graph.tensors[step.inputs[1]]
    if dtype_of(kernel) == "int4":
        return FOUR_BIT
    if name == "FULLY_CONNECTED" and dtype_of(taken) != "float32" and len(scales(kernel)) > 1:
        return SCALE_A_CHANNEL
    return SIXTEEN_BIT if dtype_of(taken) == "int16" else FIRST
