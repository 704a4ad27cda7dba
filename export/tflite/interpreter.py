"""Runs TFLite models in LiteRT on images, and shows the real numbers inside."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.formats.format import Predictor
from export.formats.tensors import TensorType

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def keeping_all_tensors() -> Iterator[None]:
    """Keeps LiteRT from warning that all tensors take memory where they are asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
        yield


def load_interpreter(
    model: Path | bytes, *, threads: int = 1, keeps_all: bool = False, reference: bool = False
) -> Any:
    """LiteRT's interpreter of a TFLite file, ready to be given an input.

    Args:
        model: the file, or its content.
        threads: that it may use.
        keeps_all: whether tensors inside can be read after a run.
        reference: whether it uses the kernels that TensorFlow Lite Micro has too, not XNNPACK's.

    Raises:
        RuntimeError, ValueError: LiteRT does not run it.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with keeping_all_tensors():
        made = Interpreter(
            **(
                {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
            ),
            num_threads=threads,
            experimental_preserve_all_tensors=keeps_all,
            experimental_op_resolver_type=(
                OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
            ),
        )
    made.allocate_tensors()
    return made


def predictor(interpreter: Any) -> Predictor:
    """What `load_interpreter` gave, for one image at a time."""
    from importlib.metadata import version

    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def answer(image: "np.ndarray") -> "np.ndarray":
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        stored: np.ndarray = interpreter.get_tensor(given["index"])
        return stored

    return Predictor(f"LiteRT {version('ai-edge-litert')}", answer, at_once=1)


def tensor_type(details: Mapping[str, Any]) -> TensorType:
    """How LiteRT or TensorFlow Lite Micro says that a tensor's numbers are stored.

    Where each channel has a scale of its own the tensor is a constant, and none is given.
    """
    dtype, quantization = details["dtype"].__name__, details["quantization_parameters"]
    if dtype == "float32" or len(quantization["scales"]) != 1:
        return TensorType(dtype)
    (scale,), (zero_point,) = quantization["scales"], quantization["zero_points"]
    return TensorType(dtype, float(scale), int(zero_point))


class Run:
    """A TFLite model with one input and one output, in LiteRT's interpreter."""

    def __init__(self, model: bytes, *, keeps_all: bool = False) -> None:
        """As `load_interpreter`, and raises what that raises."""
        self._interpreter = load_interpreter(model, keeps_all=keeps_all)
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self._types = {
            details["index"]: tensor_type(details)
            for details in self._interpreter.get_tensor_details()
        }

    def invoke(self, image: "np.ndarray") -> None:
        """Runs it on one image, uint8 (height, width, channels)."""
        index = self._input["index"]
        self._interpreter.set_tensor(index, self._types[index].encode(image[None]))
        self._interpreter.invoke()

    def real(self, index: int) -> "np.ndarray":
        """What a tensor stands for after a run: float32."""
        return self._types[index].decode(self._interpreter.get_tensor(index))

    def type(self, index: int) -> TensorType:
        return self._types[index]

    def probabilities(self, images: "np.ndarray") -> "np.ndarray":
        """Float32 (count, classes) for uint8 (count, height, width, channels)."""
        import numpy as np

        return np.concatenate([self._answer(image) for image in images])

    def _answer(self, image: "np.ndarray") -> "np.ndarray":
        self.invoke(image)
        return self.real(self._output["index"])
