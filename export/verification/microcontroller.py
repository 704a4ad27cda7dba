"""Whether TensorFlow Lite Micro answers as LiteRT does, from the same file."""

from pathlib import Path
from typing import Literal

import numpy as np

from export.formats.format import formats
from export.formats.verdict import Micro
from export.tflite import micro_interpreter
from pipeline.core.errors import AbsentRuntimeError, ExportError
from pipeline.data.images.stratified import evenly_spread


def sample(total: int, count: int | Literal["all"]) -> np.ndarray:
    """Indices of `count` images, evenly from all: int64, rising."""
    return evenly_spread(total, total if count == "all" else count)


def compare(
    format_name: str, path: Path, images: Path, litert: np.ndarray, timeout_seconds: float
) -> Micro:
    """Asks TensorFlow Lite Micro.

    Args:
        format_name: the format.
        path: its file.
        images: `.npy` of uint8 (count, height, width, channels).
        litert: LiteRT's probabilities of the same images, float32 (count, classes).
        timeout_seconds: for all images together.

    Raises:
        ExportError: LiteRT did not answer with the kernels that TensorFlow Lite Micro has.
    """
    try:
        given = micro_interpreter.answers(path, images, timeout_seconds)
    except AbsentRuntimeError as error:
        return Micro(absence=str(error))
    except ExportError as error:
        return Micro(refusal=str(error))
    chosen = given.stored.argmax(axis=1)
    others = np.flatnonzero(chosen != litert.argmax(axis=1))
    ties = 0
    if len(others):
        some = images.with_name("micro_others.npy")
        np.save(some, np.load(images)[others])
        same_kernels = micro_interpreter.reference_answers(path, some, timeout_seconds)
        margin = formats()[format_name].tolerance
        ties = near_ties(chosen[others], same_kernels.argmax(axis=1), litert[others], margin)
    return Micro(
        runtime=given.runtime,
        images=len(given.stored),
        different=len(others) - ties,
        near_ties=ties,
        latency_p50_ms=given.latency_p50_ms,
        arena_bytes=given.arena_bytes,
    )


def near_ties(
    micro: np.ndarray, same_kernels: np.ndarray, litert: np.ndarray, margin: float
) -> int:
    """Counts images on which only the rounding of LiteRT's faster kernels makes a difference.

    There LiteRT predicts what TensorFlow Lite Micro does if it uses the same kernels; with its
    faster ones it finds that class nearly as probable as the one it prefers.

    Args:
        micro: classes that TensorFlow Lite Micro predicts, int64 (images,).
        same_kernels: classes that LiteRT predicts with the same kernels, int64 (images,).
        litert: probabilities that it gives with its faster ones, float32 (images, classes).
        margin: how far a probability may lie from the highest.
    """
    short = litert.max(axis=1) - litert[np.arange(len(micro)), micro]
    return int(((short <= margin) & (micro == same_kernels)).sum())
