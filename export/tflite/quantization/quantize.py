"""Turns a float32 TFLite model into one of 8-bit or 4-bit integers."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from export.tflite.flatbuffer import Operator, dtype_of, operators, parse, unread_outputs
from export.tflite.interpreter import keeping_all_tensors
from export.tflite.quantization.ranges import Range
from export.tflite.quantization.recipe import Recipe
from pipeline.core.errors import ExportError

if TYPE_CHECKING:
    from ai_edge_litert.schema_py_generated import ModelT

OUTPUT_INSIDE = "probabilities_inside"
ALL = ".*"
# Operators whose kernels LiteRT takes in 4 bits.
FOUR_BIT = ("CONV_2D", "FULLY_CONNECTED")
ALGORITHMS = {"min_max": "min_max_uniform_quantize", "octav": "OCTAV"}


def prepare(float_model: bytes) -> bytes:
    """The model without notes for users, and with another name for the output inside.

    Where probabilities are stored in another way at the end, an operator follows that gives them
    under the promised name.

    Raises:
        ExportError: the model has a loop.
    """
    from export.tflite.pack import pack

    model = parse(float_model)
    if len(model.subgraphs) > 1:
        raise ExportError(
            "the model has a loop, as LSTM, GRU and other recurrent layers become, and nothing "
            "quantises what is inside one; give these layers unroll=True, or leave the format out "
            "of export.formats"
        )
    for entry in model.metadata or ():
        model.buffers[entry.buffer].data = None
    model.metadata = None
    (graph,) = model.subgraphs
    graph.tensors[graph.outputs[0]].name = OUTPUT_INSIDE
    return pack(model)


def quantize(prepared: bytes, ranges: Mapping[str, Range], recipe: Recipe) -> bytes:
    """Quantises what `prepare` gave.

    Raises:
        ValueError, RuntimeError: litert-quantizer does not do it for this model.
    """
    import numpy as np
    from litert_quantizer.quantizer import Quantizer

    quantizer = Quantizer(prepared)
    for expression, operation, config, algorithm in _entries(recipe):
        quantizer.update_quantization_recipe(expression, operation, config, algorithm)
    ends = {
        name: {
            "min": np.full((1,) * found.rank, found.low, np.float32),
            "max": np.full((1,) * found.rank, found.high, np.float32),
        }
        for name, found in ranges.items()
    }
    with keeping_all_tensors():
        result = quantizer.quantize(ends, enable_progress_report=False)
    made = bytes(result.quantized_model)
    return _with_unread_outputs(made) if _has_unread_outputs(prepared) else made


@lru_cache(maxsize=1)
def _has_unread_outputs(prepared: bytes) -> bool:
    """Asked once for the many ways in which a model is quantised: to parse it takes as long."""
    return any(unread_outputs(parse(prepared)))


def _with_unread_outputs(quantized: bytes) -> bytes:
    """Stores what an operator gives and nothing reads in the type of what else it gives.

    litert-quantizer leaves it in float32, and LiteRT takes no such mixture.
    """
    from export.tflite.pack import pack

    model = parse(quantized)
    tensors = model.subgraphs[0].tensors
    for unread, sibling in list(unread_outputs(model)):
        tensors[unread].type = tensors[sibling].type
        tensors[unread].quantization = tensors[sibling].quantization
    return pack(model)


Entry = tuple[str, Any, Any, str]


def _entries(recipe: Recipe) -> list[Entry]:
    """What litert-quantizer calls a recipe; of the entries that match an operator the last holds.

    It keeps entries of one expression together, so each step has an expression of its own.
    """
    from litert_quantizer.qtyping import TFLOperationName as Operation

    every = _named(recipe.only) if recipe.only else ALL
    entries: list[Entry] = [(every, Operation.ALL_SUPPORTED, _config(8, 8), ALGORITHMS["min_max"])]
    if recipe.weights == "int4":
        algorithm = ALGORITHMS[recipe.rounding]
        entries += [(f"(?:{every})", Operation(k), _config(8, 4), algorithm) for k in FOUR_BIT]
    elif recipe.dense_scales == "one":
        dense = Operation.FULLY_CONNECTED
        entries.append(
            (f"(?:{every})", dense, _config(8, 8, one_scale=True), ALGORITHMS["min_max"])
        )
    if recipe.kept:
        algorithm = "no_quantize" if recipe.kept_in == "float32" else ALGORITHMS["min_max"]
        activations = _config(16 if recipe.kept_in == "int16" else 8, 8)
        entries.append((_named(recipe.kept), Operation.ALL_SUPPORTED, activations, algorithm))
    unsigned, algorithm = recipe.io == "uint8", ALGORITHMS["min_max"]
    if recipe.io == "float32":
        algorithm = "no_quantize"
    ends = (Operation.INPUT, Operation.OUTPUT)
    return entries + [("", end, _config(8, 8, unsigned=unsigned), algorithm) for end in ends]


def _named(names: Sequence[str]) -> str:
    """An expression for operators by name; litert-quantizer ends names with a semicolon."""
    return f"^(?:{'|'.join(re.escape(name) for name in names)});$"


def _config(
    activation_bits: int, weight_bits: int, *, unsigned: bool = False, one_scale: bool = False
) -> Any:
    """Kernels are symmetric, as LiteRT's kernels want them, and so are 16-bit activations."""
    from litert_quantizer import qtyping

    granularity = qtyping.QuantGranularity
    kind = qtyping.TensorDataType.UINT if unsigned else qtyping.TensorDataType.INT
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=activation_bits, symmetric=activation_bits == 16, dtype=kind
        ),
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=weight_bits,
            symmetric=True,
            granularity=granularity.TENSORWISE if one_scale else granularity.CHANNELWISE,
        ),
        compute_precision=qtyping.ComputePrecision.INTEGER,
        explicit_dequantize=False,
    )


def left_in_float(quantized: bytes) -> tuple[str, ...]:
    """Names of the operators that compute in float32."""
    model = parse(quantized)
    return tuple(
        operator.name
        for operator in operators(model)
        if operator.kind not in ("QUANTIZE", "DEQUANTIZE") and _is_float(model, operator)
    )


def _is_float(model: "ModelT", operator: Operator) -> bool:
    """Whether it takes or gives such numbers: a comparison takes them and gives none."""
    tensors = model.subgraphs[0].tensors
    ends = (*operator.inputs, operator.outputs[0])
    return any(index >= 0 and dtype_of(tensors[index]) == "float32" for index in ends)
