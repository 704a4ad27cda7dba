"""Quantises a model so that it holds its gate: what hurts most stays more precise, if need be."""

import math
import traceback
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from export.formats.inspection import LEAST_NAMED_SHARE
from export.tflite.flatbuffer import KERNEL_AND_BIAS, Operator, operators, parse
from export.tflite.interpreter import Run
from export.tflite.quantization import layer_errors
from export.tflite.quantization.layer_errors import LayerError
from export.tflite.quantization.quantize import (
    FOUR_BIT,
    OUTPUT_INSIDE,
    left_in_float,
    quantize,
)
from export.tflite.quantization.ranges import Range
from export.tflite.quantization.recipe import Precision, Recipe
from pipeline.core.errors import ExportError
from pipeline.core.text import first_line

if TYPE_CHECKING:
    import numpy as np

# A layer stays more precise if what it costs alone is at least this share of what the worst costs.
SHARES = {"int8": (0.5, 0.1), "int4": (0.9, 0.5)}
LAYER_IMAGES = 100
LITERT, TENSORFLOW = "litert-quantizer", "TensorFlow's converter"
MORE_PRECISE: Mapping[str, tuple[Precision, ...]] = {
    "int8": ("int16", "float32"),
    "int4": ("int8",),
}
KERNELS = {"int8": tuple(KERNEL_AND_BIAS), "int4": FOUR_BIT}


@dataclass(frozen=True)
class Attempt:
    """One way to quantise the model, and what came of it.

    Attributes:
        engine: what quantised it.
        dense_scales: see `Recipe`; empty if there is no dense layer in 8 bits.
        kept: how precise each layer is that stayed more so than the others, by name.
        size_bytes: of the whole file.
        accuracy: on the validation images.
        drop_points: percentage points by which that is below float32's.
        failure: why there is no file; empty if there is.
    """

    engine: str
    dense_scales: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    accuracy: float | None = None
    drop_points: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class Subject:
    """What is to be quantised, and what it is judged by.

    Attributes:
        prepared: the float32 model, see `quantize.prepare`.
        ranges: see `ranges.observe`.
        recipe: how all layers are to be quantised.
        images: uint8 (count, height, width, channels) that the model was not trained on.
        labels: int64 (count,).
        bound: percentage points that the accuracy may fall; none if that does not matter.
        complete: makes the file that users get of what an engine gives.
    """

    prepared: bytes
    ranges: Mapping[str, Range]
    recipe: Recipe
    images: "np.ndarray"
    labels: "np.ndarray"
    bound: float | None
    complete: Callable[[bytes], bytes]

    @property
    def some_images(self) -> "np.ndarray":
        """Evenly from all, for what takes long."""
        return self.images[:: max(1, len(self.images) // LAYER_IMAGES)][:LAYER_IMAGES]

    def accuracy(self, model: bytes) -> float:
        import numpy as np

        answers = Run(model).probabilities(self.images)
        is_answer = np.isfinite(answers).all(axis=1)
        return float(((answers.argmax(axis=1) == self.labels) & is_answer).mean())


@dataclass(frozen=True)
class Outcome:
    """The file that held, or else the most accurate one, and how it was found.

    Attributes:
        model: the whole file.
        chosen: index of its attempt.
        attempts: all of them, in order.
        float_accuracy: on the validation images.
        holds: whether the chosen one is within the bound.
        layers: of the chosen one.
        own_errors: what each layer costs alone; empty if it was not asked.
        subject: what was quantised.
    """

    model: bytes
    chosen: int
    attempts: tuple[Attempt, ...]
    float_accuracy: float
    holds: bool
    layers: tuple[LayerError, ...]
    own_errors: Mapping[str, float]
    subject: Subject

    def record(self) -> dict[str, Any]:
        """As plain data for `quantization.json`."""
        layers = [asdict(layer) for layer in self.layers]
        for layer in layers:
            layer["own_error"] = self.own_errors.get(layer["name"])
        return {
            "kept": dict(self.attempts[self.chosen].kept),
            "holds": self.holds,
            "float_accuracy": self.float_accuracy,
            "chosen": self.chosen,
            "tries": [asdict(attempt) for attempt in self.attempts],
            "layers": layers,
            "layer_images": len(self.subject.some_images),
            "bound_points": self.subject.bound,
            "validation_images": len(self.subject.labels),
        }


Engine = Callable[[Recipe], bytes]
Way = tuple[str, Recipe, Engine]


def search(subject: Subject, max_tries: int, tensorflow: Engine | None = None) -> Outcome:
    """Tries one way after another until one holds.

    First every layer with one scale for each dense kernel, which older releases of TFLite run
    too; then with a scale for each channel; then with ever more layers kept more precise.

    Args:
        subject: what to quantise.
        max_tries: how many ways to try at most.
        tensorflow: quantises all layers in another way; it is asked where litert-quantizer knows
            an operator only in float32.

    Raises:
        ExportError: no way gave a file that runs.
    """
    started = _Search(subject, tensorflow)
    return started.run(islice(started.ways(), max_tries))


def dense_scales(subject: Subject, name: str, engine: Engine) -> Outcome:
    """Tries one scale for each dense kernel, and if that does not hold a scale for each channel.

    Raises:
        ExportError: neither gave a file that runs.
    """
    started = _Search(subject)
    return started.run(started.scalings(name, engine))


class _Search:
    def __init__(self, subject: Subject, tensorflow: Engine | None = None) -> None:
        self._subject = subject
        self._tensorflow = tensorflow
        self._float_accuracy = subject.accuracy(subject.prepared)
        self._own_errors: Mapping[str, float] = {}
        self._attempts: list[Attempt] = []
        kinds = {operator.kind for operator in operators(parse(subject.prepared))}
        self._has_dense = subject.recipe.weights == "int8" and "FULLY_CONNECTED" in kinds

    def run(self, ways: Iterable[Way]) -> Outcome:
        subject, attempts, models = self._subject, self._attempts, []
        for name, recipe, engine in ways:
            attempt, model = self._attempt(name, recipe, engine)
            attempts.append(attempt)
            models.append(model)
            if self._holds(attempt):
                break
        merits = [-1.0 if each.accuracy is None else each.accuracy for each in attempts]
        chosen = merits.index(max(merits))
        if attempts[chosen].failure:
            raise ExportError(attempts[chosen].failure)
        return Outcome(
            models[chosen],
            chosen,
            tuple(attempts),
            self._float_accuracy,
            self._holds(attempts[chosen]),
            layer_errors.layer_errors(subject.prepared, models[chosen], subject.some_images),
            self._own_errors,
            subject,
        )

    def _holds(self, attempt: Attempt) -> bool:
        if attempt.drop_points is None:
            return False
        # A rounding error must not fail what lies right on the bound.
        bound = self._subject.bound
        return bound is None or attempt.drop_points <= bound + 1e-9

    def _attempt(self, name: str, recipe: Recipe, engine: Engine) -> tuple[Attempt, bytes]:
        scales = recipe.dense_scales if self._has_dense else ""
        try:
            model = self._subject.complete(engine(recipe))
            accuracy = self._subject.accuracy(model)
        except Exception as error:  # a converter may raise anything, and another try may do better
            kept = dict.fromkeys(recipe.kept, recipe.kept_in)
            why = f"{type(error).__name__}: {first_line(error)}"
            return Attempt(name, scales, kept, failure=why), b""
        drop = 100 * (self._float_accuracy - accuracy)
        return Attempt(name, scales, _precisions(recipe, model), len(model), accuracy, drop), model

    def ways(self) -> Iterator[Way]:
        recipe = self._subject.recipe
        if self._tensorflow is not None and not self._is_whole(recipe):
            yield from self.scalings(TENSORFLOW, self._tensorflow)
        yield from self.scalings(LITERT, self._quantize)
        for careful in dict.fromkeys(self._more_precise()):
            yield LITERT, careful, self._quantize

    def scalings(self, name: str, engine: Engine) -> Iterator[Way]:
        """Every layer, until an engine fails: it would fail again."""
        recipe = self._subject.recipe
        if self._has_dense:
            yield name, replace(recipe, dense_scales="one"), engine
            if self._attempts[-1].failure:
                return
        yield name, recipe, engine

    def _is_whole(self, recipe: Recipe) -> bool:
        try:
            return not left_in_float(self._quantize(recipe))
        except Exception:  # litert-quantizer may raise anything; `_attempt` notes what it was
            return False

    def _quantize(self, recipe: Recipe) -> bytes:
        return quantize(self._subject.prepared, self._subject.ranges, recipe)

    def _more_precise(self) -> Iterator[Recipe]:
        """Ever more layers, each time in every precision that is finer.

        Not in one that would leave too few of the weights that the format's name promises.
        """
        subject = self._subject
        weights = subject.recipe.weights
        try:
            self._own_errors = layer_errors.own_errors(
                subject.prepared, subject.ranges, subject.recipe, subject.some_images
            )
        except Exception:  # as in `_attempt`; without costs no layer comes before another
            traceback.print_exc()
            return
        layers = operators(parse(subject.prepared))
        kernels = _kernel_elements(subject.prepared, KERNELS[weights])
        candidates = set(kernels) if weights == "int4" else set(self._own_errors)
        costs = {name: cost for name, cost in self._own_errors.items() if name in candidates}
        for costly in _costly(costs, SHARES[weights]):
            for precision in MORE_PRECISE[weights]:
                free = [n for n in costly if n not in self._fixed(precision, layers)]
                kept = _affordable(free, costs, kernels) if precision == "float32" else free
                if kept and (precision == "int16" or not set(kernels) <= set(kept)):
                    yield replace(subject.recipe, kept=tuple(kept), kept_in=precision)

    def _fixed(self, precision: Precision, layers: Sequence[Operator]) -> set[str]:
        """Layers that cannot have this precision: nothing turns 16 bits into uint8, or back.

        LiteRT does from uint8, TensorFlow Lite Micro does not.
        """
        if precision != "int16" or self._subject.recipe.io != "uint8":
            return set()
        (taken,) = parse(self._subject.prepared).subgraphs[0].inputs
        return {layer.name for layer in layers if taken in layer.inputs} | {OUTPUT_INSIDE}


def _kernel_elements(model: bytes, kinds: Container[str]) -> dict[str, int]:
    """How many numbers the kernel of each layer of these kinds has."""
    parsed = parse(model)
    tensors = parsed.subgraphs[0].tensors
    return {
        layer.name: math.prod(map(int, tensors[layer.constant].shape))
        for layer in operators(parsed)
        if layer.kind in kinds and layer.constant is not None
    }


def _affordable(
    names: Sequence[str], costs: Mapping[str, float], kernels: Mapping[str, int]
) -> list[str]:
    """Those that may stay in float, costliest first: the audit asks for the rest to be larger."""
    room = (1 - LEAST_NAMED_SHARE) * sum(kernels.values())
    kept = []
    for name in sorted(names, key=lambda name: costs[name], reverse=True):
        if kernels.get(name, 0) <= room:
            room -= kernels.get(name, 0)
            kept.append(name)
    return kept


def _costly(costs: Mapping[str, float], shares: Sequence[float]) -> list[tuple[str, ...]]:
    """The layers that cost at least a share of what the worst costs; for each share one group."""
    worst = max(costs.values(), default=0.0)
    groups = (
        tuple(name for name, cost in costs.items() if cost >= share * worst > 0) for share in shares
    )
    return [names for names in dict.fromkeys(groups) if names]


def _precisions(recipe: Recipe, model: bytes) -> dict[str, str]:
    """What really stayed in float32, with what was asked to stay in something else."""
    kept = dict.fromkeys(left_in_float(model), "float32")
    if recipe.kept_in != "float32":
        kept |= dict.fromkeys(recipe.kept, recipe.kept_in)
    return kept
