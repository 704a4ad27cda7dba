"""What quantising does to each layer of a TFLite model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from export.formats.tensors import TensorType
from export.tflite.flatbuffer import (
    Operator,
    dtype_of,
    operators,
    parse,
    real,
    stored,
    tensors_by_name,
    text,
)
from export.tflite.interpreter import Run
from export.tflite.quantization.quantize import quantize
from export.tflite.quantization.ranges import Range
from export.tflite.quantization.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from ai_edge_litert.schema_py_generated import ModelT

ENDS = {"int4": (-7, 7), "int8": (-127, 127), "int16": (-32767, 32767)}


@dataclass(frozen=True)
class LayerError:
    """A layer of the quantised model against the same one in float32.

    Attributes:
        name: of the tensor that it gives, the same in both models.
        kind: such as `CONV_2D`.
        computes_in: dtype of that tensor in the quantised model.
        weights_stored_in: dtype of its weights there; empty if it has none.
        weight_sqnr_db: 10 log10 of the weights' sum of squares over that of their errors; none
            without weights, or with weights that are exact.
        weights_at_ends: share of the weights at the ends of what their dtype holds.
        output_error: root mean square of the difference over that of the float numbers, with all
            that the layers before have added; none if those are all zeros and it is not.
        clipped: share of the float numbers more than a step beyond what it can give.
        images_without_number: how many images it answers by an infinity or by nan, in float32 or
            quantised; these numbers count in none of the figures above.
    """

    name: str
    kind: str
    computes_in: str
    weights_stored_in: str
    weight_sqnr_db: float | None
    weights_at_ends: float | None
    output_error: float | None
    clipped: float
    images_without_number: int = 0


def layer_errors(prepared: bytes, quantized: bytes, images: "np.ndarray") -> tuple[LayerError, ...]:
    """Compares layer by layer on the same images, uint8 (count, height, width, channels)."""
    before, after = parse(prepared), parse(quantized)
    others = {operator.name: operator for operator in operators(after)}
    layers = [(one, others[one.name]) for one in operators(before) if one.name in others]
    exactly, quantised = Run(prepared, keeps_all=True), Run(quantized, keeps_all=True)
    sums = {one.name: _Sums() for one, _ in layers}
    for image in images:
        exactly.invoke(image)
        quantised.invoke(image)
        for one, other in layers:
            place = other.outputs[0]
            exact, found = exactly.real(one.outputs[0]), quantised.real(place)
            sums[one.name].add(exact, found, quantised.type(place))
    return tuple(
        LayerError(
            one.name,
            one.kind,
            dtype_of(after.subgraphs[0].tensors[other.outputs[0]]),
            *_weights(before, after, one),
            sums[one.name].output_error(),
            sums[one.name].beyond / max(1, sums[one.name].count),
            sums[one.name].without_number,
        )
        for one, other in layers
    )


@dataclass
class _Sums:
    """What the errors of a layer are made of, added up image by image."""

    squares: float = 0.0
    squared_errors: float = 0.0
    beyond: int = 0
    count: int = 0
    without_number: int = 0

    def add(self, exact: "np.ndarray", found: "np.ndarray", stored_as: TensorType) -> None:
        import numpy as np

        counts = np.isfinite(exact) & np.isfinite(found)
        self.without_number += not counts.all()
        exact, found = exact[counts], found[counts]
        self.squares += float(np.square(exact, dtype=np.float64).sum())
        self.squared_errors += float(np.square(exact - found).sum())
        self.beyond += _beyond(exact, stored_as)
        self.count += exact.size

    def output_error(self) -> float | None:
        if not self.squares:
            return None if self.squared_errors else 0.0
        return float((self.squared_errors / self.squares) ** 0.5)


def _beyond(exact: "np.ndarray", stored_as: TensorType) -> int:
    """How many numbers lie more than a step beyond what the type holds.

    A probability of 1 is a step beyond the 255/256 that the contract's 8 bits hold.
    """
    import numpy as np

    if stored_as.scale is None:
        return 0
    ends = np.iinfo(stored_as.dtype)
    low, high = stored_as.decode(np.array([ends.min, ends.max]))
    slack = 1.001 * stored_as.scale
    return int(((exact < low - slack) | (exact > high + slack)).sum())


def _weights(
    before: "ModelT", after: "ModelT", operator: Operator
) -> tuple[str, float | None, float | None]:
    """How a layer's weights are stored, their signal to noise, and their share at the ends."""
    import numpy as np

    if operator.constant is None:
        return "", None, None
    tensor = before.subgraphs[0].tensors[operator.constant]
    found = tensors_by_name(after).get(text(tensor.name))
    if found is None or list(found.shape) != list(tensor.shape):
        return "", None, None
    exact, dtype = real(before, tensor), dtype_of(found)
    noise = float(np.square(exact - real(after, found)).sum())
    signal = float(np.square(exact).sum())
    is_known = signal and noise and np.isfinite(signal / noise)
    ratio = 10 * float(np.log10(signal / noise)) if is_known else None
    if dtype not in ENDS:
        return dtype, ratio, None
    low, high = ENDS[dtype]
    numbers = stored(after, found)
    return dtype, ratio, float(((numbers <= low) | (numbers >= high)).mean())


def own_errors(
    prepared: bytes, ranges: Mapping[str, Range], recipe: Recipe, images: "np.ndarray"
) -> Mapping[str, float]:
    """What each layer costs if it alone is quantised.

    An error that comes from a layer before counts there and not here, unlike in `output_error`.

    Returns:
        By layer, the root mean square by which the probabilities change, of those that are
        numbers in float32; infinite where they are none any more.
    """
    import numpy as np

    exact = Run(prepared).probabilities(images)
    errors = {}
    for operator in operators(parse(prepared)):
        alone = replace(recipe, only=(operator.name,), io="float32", kept=())
        found = Run(quantize(prepared, ranges, alone)).probabilities(images)
        change = np.square(exact - found)[np.isfinite(exact)]
        errors[operator.name] = float(np.sqrt(change.mean())) if np.isfinite(change).all() else inf
    return errors
