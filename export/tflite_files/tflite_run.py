"""Runs TFLite models from memory on images, and shows the real numbers inside."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.interface import TensorType

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def keeping_all_tensors() -> Iterator[None]:
    """Keeps LiteRT from warning that all tensors take memory where they are asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
        yield


class Run:
    """A TFLite model with one input and one output, in LiteRT's interpreter."""

    def __init__(self, model: bytes, *, keeps_all: bool = False) -> None:
        """Loads a model.

        Args:
            model: a TFLite file.
            keeps_all: whether tensors inside can be read after a run.

        Raises:
            RuntimeError, ValueError: LiteRT does not run it.
        """
        from ai_edge_litert.interpreter import Interpreter

        with keeping_all_tensors():
            self._interpreter = Interpreter(
                model_content=model, num_threads=1, experimental_preserve_all_tensors=keeps_all
            )
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self._types = {
            details["index"]: _type(details) for details in self._interpreter.get_tensor_details()
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


def _type(details: dict[str, Any]) -> TensorType:
    """Of a tensor with one scale; where each channel has its own, it is a constant."""
    scale, zero_point = details["quantization"]
    dtype = details["dtype"].__name__
    return TensorType(dtype, float(scale), int(zero_point)) if scale else TensorType(dtype)
