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
from export.tflite.quantization.calibration import Range
from export.tflite.quantization.quantize import Recipe, quantize

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
    pairs = _pairs(before, after)
    sums = _Sums(Run(prepared, keeps_all=True), Run(quantized, keeps_all=True), pairs)
    for image in images:
        sums.add(image)
    return tuple(
        LayerError(
            one.name,
            one.kind,
            dtype_of(after.subgraphs[0].tensors[other.output]),
            *_weights(before, after, one),
            sums.output_error(one.name),
            sums.clipped(one.name),
            sums.without_number[one.name],
        )
        for one, other in pairs
    )


Pairs = list[tuple[Operator, Operator]]


def _pairs(before: "ModelT", after: "ModelT") -> Pairs:
    """Layers of both models that give tensors of the same name."""
    others = {operator.name: operator for operator in operators(after)}
    return [(one, others[one.name]) for one in operators(before) if one.name in others]


class _Sums:
    """Adds up, image by image, what the errors are made of."""

    def __init__(self, before: Run, after: Run, pairs: Pairs) -> None:
        self._before, self._after, self._pairs = before, after, pairs
        names = [one.name for one, _ in pairs]
        self._squares = dict.fromkeys(names, 0.0)
        self._squared_errors = dict.fromkeys(names, 0.0)
        self._beyond = dict.fromkeys(names, 0)
        self._count = dict.fromkeys(names, 0)
        self.without_number = dict.fromkeys(names, 0)

    def add(self, image: "np.ndarray") -> None:
        import numpy as np

        self._before.invoke(image)
        self._after.invoke(image)
        for one, other in self._pairs:
            exact, found = self._before.real(one.output), self._after.real(other.output)
            counts = np.isfinite(exact) & np.isfinite(found)
            self.without_number[one.name] += not counts.all()
            exact, found = exact[counts], found[counts]
            self._squares[one.name] += float(np.square(exact, dtype=np.float64).sum())
            self._squared_errors[one.name] += float(np.square(exact - found).sum())
            self._beyond[one.name] += _beyond(exact, self._after.type(other.output))
            self._count[one.name] += exact.size

    def output_error(self, name: str) -> float | None:
        if not self._squares[name]:
            return None if self._squared_errors[name] else 0.0
        return float((self._squared_errors[name] / self._squares[name]) ** 0.5)

    def clipped(self, name: str) -> float:
        return self._beyond[name] / max(1, self._count[name])


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
