"""What `train` does so that a network becomes smaller: what to train, and what to publish of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.keras_files import load
from export.tflite.quantization import learnt_ranges
from pipeline.config.schema import TrainSection
from pipeline.training.techniques.pruned_model import shrunk, sizes
from pipeline.training.techniques.pruning import Prune
from pipeline.training.techniques.quantization_aware.model import BeginRounding, Twin


def for_training(network: keras.Sequential, section: TrainSection) -> keras.Sequential:
    """What `fit` is to train in place of the network, whose weights it has first of all.

    Raises:
        ConfigError: the network has a layer that the config's way to shrink does not know.
    """
    return Twin(network) if section.quantization_aware.enabled else network


def in_words(size: Mapping[str, float], section: TrainSection) -> str:
    """What is left after pruning, for the summary of the stage; empty where nothing was pruned."""
    if section.pruning is None:
        return ""
    if section.pruning.structure == "filters":
        return f"; {size['parameters']:,.0f} parameters are left"
    return f"; {size['zero_share']:.1%} of the numbers in kernels are 0"


def first_candidate(section: TrainSection) -> int:
    """The first epoch, from 0, whose weights may be kept: those before it are not as small."""
    aware, pruning = section.quantization_aware, section.pruning
    return max(
        aware.begin_epoch(section.epochs) if aware.enabled else 0,
        pruning.end_epoch(section.epochs) if pruning else 0,
    )


def callbacks(section: TrainSection, first_epoch: int) -> list[Any]:
    """What makes the network smaller on the way, where training begins with an epoch."""
    aware, pruning = section.quantization_aware, section.pruning
    found: list[Any] = [Prune(pruning, section.epochs)] if pruning else []
    if aware.enabled:
        found.append(BeginRounding(aware.begin_epoch(section.epochs), first_epoch))
    return found


def publish(
    trained: keras.Sequential,
    weights: Sequence[np.ndarray],
    untrained: keras.Sequential,
    folder: Path,
    section: TrainSection,
) -> dict[str, float]:
    """Saves the float32 model, without what was pruned, and ranges if training learnt them.

    Args:
        trained: what `for_training` gave.
        weights: of it, the best.
        untrained: the network with its layers in float32; gets the weights.
        folder: the artifact.
        section: says what was done to the network.

    Returns:
        For the manifest, how large the network is if something was pruned.
    """
    untrained.set_weights(weights[: len(untrained.weights)])
    if section.pruning and section.pruning.structure == "filters":
        untrained = shrunk(untrained)
    untrained.save(folder / load.MODEL)
    if isinstance(trained, Twin):
        trained.set_weights(weights)
        learnt_ranges.write(trained.learnt(), folder)
    return sizes(untrained) if section.pruning else {}
