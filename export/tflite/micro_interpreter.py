"""Asks a TFLite file for its answers in TensorFlow Lite Micro, in a child process.

It is the interpreter that firmware is built from, with its reference kernels, compiled for this
machine: the answers are a microcontroller's, the times are not.
"""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.tflite.interpreter import load_interpreter, predictor, tensor_type
from pipeline.core import child_process, environment
from pipeline.core.errors import AbsentRuntimeError, ExportError

if TYPE_CHECKING:
    import numpy as np

MEASURE = "export.tflite.micro_interpreter:measure"
ASK_REFERENCE = "export.tflite.micro_interpreter:ask_reference"
ALIGNMENT = 16
# Room for any model that a microcontroller could hold; what is never touched costs nothing.
ROOMY_ARENA = 1 << 28
RECORDED_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
STDERR = 2
PACKAGE = "tflite-micro"
NOT_IMPORTED = re.compile(r"(ModuleNotFound|Import)Error: ")


@dataclass(frozen=True)
class MicroAnswers:
    """What TensorFlow Lite Micro gave.

    Attributes:
        stored: (count, classes), as the file stores probabilities.
        latency_p50_ms: median time of one image on this machine.
        arena_bytes: the smallest arena in which the file runs; all answers come from this one. On
            a chip with pointers of 4 bytes instead of 8 it is smaller.
        runtime: name and version.
    """

    stored: "np.ndarray"
    latency_p50_ms: float
    arena_bytes: int
    runtime: str


def answers(path: Path, images: Path, timeout_seconds: float) -> MicroAnswers:
    """Asks a TFLite file about all images of an `.npy`: uint8 (count, height, width, channels).

    Raises:
        AbsentRuntimeError: TensorFlow Lite Micro is not on this machine.
        ExportError: it does not run the file, or not in time.
    """
    import numpy as np

    stored = images.with_name("tflite_micro-answers.npy")
    values = _call(MEASURE, path, timeout_seconds, images=images, answers=stored)
    return MicroAnswers(np.load(stored), **values)


def reference_answers(path: Path, images: Path, timeout_seconds: float) -> "np.ndarray":
    """As `answers`, of LiteRT with the reference kernels that TensorFlow Lite Micro has too.

    LiteRT's faster kernels, of XNNPACK, round otherwise: where two classes are almost as probable,
    they may choose the other one.

    Returns:
        (count, classes), as the file stores probabilities.

    Raises:
        ExportError: LiteRT does not run the file, or not in time.
    """
    import numpy as np

    stored = images.with_name("litert_reference-answers.npy")
    _call(ASK_REFERENCE, path, timeout_seconds, runtime="LiteRT", images=images, answers=stored)
    return np.load(stored)


def smallest_arena(path: Path, timeout_seconds: float) -> int:
    """Finds the bytes of the smallest arena in which a TFLite file runs, a multiple of 16.

    Raises:
        AbsentRuntimeError: TensorFlow Lite Micro is not on this machine.
        ExportError: it does not run the file, or not in time.
    """
    return int(_call(MEASURE, path, timeout_seconds)["arena_bytes"])


def _call(
    function: str,
    path: Path,
    timeout_seconds: float,
    runtime: str = "TensorFlow Lite Micro",
    **arrays: Path,
) -> dict[str, Any]:
    argument = {name: str(file.resolve()) for name, file in {"path": path, **arrays}.items()}
    outcome = child_process.call(function, argument, timeout_seconds=timeout_seconds)
    if outcome.failure or not outcome.values:
        why = outcome.failure.removeprefix("pipeline.core.errors.ExportError: ") or "gave no answer"
        if NOT_IMPORTED.match(why) and environment.version(PACKAGE) is None:
            raise AbsentRuntimeError(
                f"{runtime} is not on this machine ({why}); its package {PACKAGE} exists for Linux "
                "on x86-64 alone, where requirements.txt installs it"
            )
        raise ExportError(f"{path.name} in {runtime}: {why}")
    values: dict[str, Any] = outcome.values[-1]
    return values


def measure(argument: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The child's side of `answers`, and without images of `smallest_arena`."""
    from importlib.metadata import version

    import numpy as np

    model = Path(argument["path"]).read_bytes()
    arena_bytes = _smallest_arena(model)
    if "images" not in argument:
        yield {"arena_bytes": arena_bytes}
        return
    interpreter = _interpreter(model, arena_bytes)
    images = tensor_type(interpreter.get_input_details(0)).encode(np.load(argument["images"]))
    stored, milliseconds = [], []
    for image in images[:, None]:
        start = time.perf_counter()
        stored.append(_run(interpreter, image))
        milliseconds.append(1e3 * (time.perf_counter() - start))
    np.save(argument["answers"], np.concatenate(stored))
    yield {
        "latency_p50_ms": float(np.median(milliseconds)),
        "arena_bytes": arena_bytes,
        "runtime": f"TensorFlow Lite Micro {version('tflite-micro')}",
    }


def ask_reference(argument: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The child's side of `reference_answers`."""
    import numpy as np

    interpreter = load_interpreter(Path(argument["path"]), reference=True)
    (details,) = interpreter.get_input_details()
    images = tensor_type(details).encode(np.load(argument["images"]))
    np.save(argument["answers"], predictor(interpreter).run(images))
    yield {"images": len(images)}


def _smallest_arena(model: bytes) -> int:
    """The allocator records what it keeps, which is not all that planning needs for a moment.

    Nothing smaller is tried: an arena that is much too small aborts the process.
    """
    import numpy as np

    interpreter = _interpreter(model, ROOMY_ARENA)
    details = interpreter.get_input_details(0)
    _run(interpreter, np.zeros(details["shape"], details["dtype"]))
    least = -(-_recorded_bytes(interpreter) // ALIGNMENT) * ALIGNMENT
    return next(size for size in range(least, ROOMY_ARENA, ALIGNMENT) if _fits(model, size))


def _fits(model: bytes, arena_bytes: int) -> bool:
    try:
        _interpreter(model, arena_bytes)
    except ExportError:
        return False
    return True


def _interpreter(model: bytes, arena_bytes: int) -> Any:
    """Raises ExportError with what the interpreter printed where it refuses the model."""
    from tflite_micro.python.tflite_micro.runtime import Interpreter

    with _standard_error() as printed:
        try:
            return Interpreter.from_bytes(model, arena_size=arena_bytes)
        except RuntimeError as error:
            raise ExportError("; ".join([str(error), *printed().splitlines()])) from error


def _run(interpreter: Any, image: "np.ndarray") -> "np.ndarray":
    interpreter.set_input(image, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def _recorded_bytes(interpreter: Any) -> int:
    with _standard_error() as printed:
        interpreter.print_allocations()
        found = RECORDED_TOTAL.search(printed())
    if not found:
        raise ExportError("its allocator printed no total; expected 'Arena allocation total …'")
    return int(found[1])


@contextmanager
def _standard_error() -> Iterator[Callable[[], str]]:
    """Gives what native code prints to standard error, which it knows by its descriptor."""
    original = os.dup(STDERR)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), STDERR)
        try:
            yield lambda: os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")
        finally:
            os.dup2(original, STDERR)
            os.close(original)
