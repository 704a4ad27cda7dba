"""Which of the libraries that TensorFlow needs on an NVIDIA GPU do not load."""

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path

DRIVER = "libcuda.so.1"
# By their names of CUDA 12 and cuDNN 9, for which TensorFlow 2.21 is built.
LIBRARIES = (
    DRIVER,
    "libcudart.so.12",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
    "libcudnn.so.9",
    "libcupti.so.12",
    "libnccl.so.2",
    "libnvJitLink.so.12",
    "libnvrtc.so.12",
)


def failing_libraries(
    names: Sequence[str] = LIBRARIES, path: Sequence[str] | None = None
) -> dict[str, str]:
    """Those that do not load, each with the loader's own words."""
    why = {name: _why_not(name, sys.path if path is None else path) for name in names}
    return {name: words for name, words in why.items() if words}


def _why_not(name: str, path: Sequence[str]) -> str:
    """Looks where pip puts NVIDIA's packages, as TensorFlow does, then where the system does."""
    copies = (file for place in path for file in Path(place).glob(f"nvidia/*/lib/{name}"))
    try:
        ctypes.CDLL(str(next(copies, name)))
    except OSError as error:
        return str(error)
    return ""
