"""Takes the least weights, or filters, out of a network while it trains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.config.train import pruning as config
from pipeline.core.errors import ConfigError
from pipeline.training.checkpoint import State
from pipeline.training.technique import Technique
from pipeline.training.techniques.pruned_model import WITH_KERNEL, has_filters, shrunk, sizes


class Pruning(Technique):
    """Takes weights away on the way, or filters, without which the network is published."""

    name = "pruning"

    def callbacks(self, first_epoch: int) -> Sequence[Any]:
        return (Prune(self.settings, self.section.epochs),)

    def first_epoch(self) -> int:
        return int(self.settings.end_epoch(self.section.epochs))

    def unwrap(self, network: Any, weights: Sequence[np.ndarray], folder: Path) -> Any:
        network = shrunk(network) if self.settings.structure == "filters" else network
        self._sizes = sizes(network)
        return network

    def summary(self) -> str:
        return in_words(self._sizes, self.settings)

    def facts(self) -> dict[str, Any]:
        return self._sizes


def in_words(size: Mapping[str, float], section: config.Pruning) -> str:
    """What is left, for the summary of the stage."""
    if section.structure == "filters":
        return f"; {size['parameters']:,.0f} parameters are left"
    return f"; {size['zero_share']:.1%} of the numbers in kernels are 0"


class Masked(keras.constraints.Constraint):
    """Keeps numbers at 0 where a mask has 0, after each step of the optimizer."""

    def __init__(self, mask: keras.Variable) -> None:
        self.mask = mask

    def __call__(self, w: Any) -> Any:
        return w * self.mask


@dataclass(frozen=True)
class Part:
    """Single numbers of a kernel, or the filters of a layer, of which each is taken or stays.

    Attributes:
        kernel: by which they are judged.
        members: each variable that holds some; where filters go, with the axis that counts them.
        norm: the batch norm that scales them, if one does.
        by_filter: whether whole filters go.
        channel_axes: how many of the last axes of the kernel are channels of the output.
    """

    kernel: Any
    members: tuple[tuple[Any, int], ...]
    norm: Any = None
    by_filter: bool = False
    channel_axes: int = 1

    def scores(self) -> np.ndarray:
        """What each number, or filter, weighs; one dimension."""
        kernel = self.kernel.numpy()
        if not self.by_filter:
            return self._weights(np.abs(kernel))
        found = np.sqrt(np.square(kernel).sum(axis=tuple(range(kernel.ndim - 1))))
        if self.norm is not None:
            deviation = np.sqrt(self.norm.moving_variance.numpy() + self.norm.epsilon)
            found = found * np.abs(self.norm.gamma.numpy()) / deviation
        return found

    def _weights(self, sizes: np.ndarray) -> np.ndarray:
        """Infinite for the largest of each channel, which stays: int8 takes its scale from it."""
        channels = sizes.reshape(-1, int(np.prod(sizes.shape[-self.channel_axes :])))
        channels[channels.argmax(axis=0), np.arange(channels.shape[1])] = np.inf
        return channels.ravel()

    def mask_for(self, variable: Any, axis: int, kept: np.ndarray) -> np.ndarray:
        """1 where numbers of a variable stay, in a shape that multiplies it."""
        if not self.by_filter:
            return kept.reshape(variable.shape).astype(np.float32)
        shape = [1] * len(variable.shape)
        shape[axis] = -1
        return kept.reshape(shape).astype(np.float32)


def parts_of(network: keras.Sequential, section: config.Pruning) -> list[Part]:
    """What of a network can be taken.

    Raises:
        ConfigError: nothing can, or its filters do not end where batch norm has its weights.
    """
    if section.structure == "weights":
        layers = [layer for layer in network.layers if isinstance(layer, WITH_KERNEL)]
        found = [
            Part(layer.kernel, ((layer.kernel, 0),), channel_axes=1 if has_filters(layer) else 2)
            for layer in layers
        ]
    else:
        found = list(_filters(network.layers))
    if not found:
        raise ConfigError(
            f"train.pruning: the network has no {section.structure} that can be taken; leave out "
            "train.pruning"
        )
    return found


def _filters(layers: Sequence[Any]) -> Iterator[Part]:
    """The filters of each layer but the last, with what follows them to the next kernel."""
    starts = [i for i, layer in enumerate(layers) if has_filters(layer)]
    for start, end in pairwise(starts):
        group = layers[start:end]
        norms = [n for n in group if isinstance(n, keras.layers.BatchNormalization)]
        members = [(layers[start].kernel, len(layers[start].kernel.shape) - 1)]
        members += [(n.kernel, 2) for n in group[1:] if isinstance(n, WITH_KERNEL)]
        members += [(n.bias, 0) for n in group if isinstance(n, WITH_KERNEL) and n.use_bias]
        for norm in norms:
            if not (norm.scale and norm.center):
                raise ConfigError(
                    f"train.pruning: layer {norm.name} has no scale or no center, so that filters "
                    "cannot be taken from it; set train.pruning.structure=weights"
                )
            members += [(norm.gamma, 0), (norm.beta, 0)]
        first = norms[0] if norms and norms[0] is group[1] else None
        yield Part(layers[start].kernel, tuple(members), first, by_filter=True)


def choose(parts: Sequence[Part], share: float, scope: str) -> list[np.ndarray]:
    """For each part, which numbers or filters stay: those that weigh most; bool."""
    scores = [part.scores() for part in parts]
    if scope == "layer":
        return [_largest(s, share, p.by_filter) for s, p in zip(scores, parts, strict=True)]
    if parts[0].by_filter:  # norms differ by layer, whatever a filter is worth
        scores = [s / max(s.mean(), 1e-12) for s in scores]
    kept = _largest(np.concatenate(scores), share, False)
    found = np.split(kept, np.cumsum([len(s) for s in scores])[:-1])
    for stays, score in zip(found, scores, strict=True):
        stays[score.argmax()] = True  # a layer without any would answer nothing
    return found


def _largest(scores: np.ndarray, share: float, leaves_some: bool) -> np.ndarray:
    gone = round(share * len(scores)) if leaves_some else ceil(share * len(scores) - 1e-9)
    gone = min(gone, int(np.isfinite(scores).sum()), len(scores) - 1)
    kept = np.ones(len(scores), bool)
    kept[np.argsort(scores, kind="stable")[:gone]] = False
    return kept


class Prune(keras.callbacks.Callback):
    """Takes ever more as the section says, and keeps what is taken at 0.

    It takes at the beginning of an epoch alone: how often Keras calls within one depends on how
    many steps it runs at once, and so on how often checkpoints are saved.
    """

    def __init__(self, section: config.Pruning, epochs: int) -> None:
        super().__init__()
        self._section, self._epochs, self._begun = section, epochs, -1
        self._masks: list[keras.Variable] = []

    def on_train_begin(self, logs: Any = None) -> None:
        network = getattr(self.model, "network", self.model)
        self._parts = parts_of(network, self._section)
        self._members = [(p, v, a) for p in self._parts for v, a in p.members]
        for part, variable, axis in self._members:
            everything = np.ones(len(part.scores()), bool)
            mask = keras.Variable(part.mask_for(variable, axis, everything), trainable=False)
            variable.constraint = Masked(mask)
            self._masks.append(mask)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self._begun:  # it goes on within the epoch whose masks it remembers
            return
        self._begun = epoch
        if epoch <= self._section.end_epoch(self._epochs):
            self._take(self._section.share(epoch, self._epochs))

    def on_test_begin(self, logs: Any = None) -> None:
        """Clears averages: Keras takes them before constraints hold, and may swap them in now."""
        averages = self._averages()
        for (_, variable, _), mask in zip(self._members, self._masks, strict=True):
            if (average := averages.get(id(variable))) is not None:
                average.assign(average * mask)

    def _take(self, share: float) -> None:
        kept = choose(self._parts, share, self._section.scope)
        of_part = {id(part): stays for part, stays in zip(self._parts, kept, strict=True)}
        averages = self._averages()
        for (part, variable, axis), mask in zip(self._members, self._masks, strict=True):
            mask.assign(part.mask_for(variable, axis, of_part[id(part)]))
            for numbers in (variable, averages.get(id(variable))):
                if numbers is not None:
                    numbers.assign(numbers * mask)

    def _averages(self) -> dict[int, Any]:
        """The moving average of each weight, where the optimizer keeps one."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not (optimizer.use_ema and optimizer.built):
            return {}
        pairs = zip(
            self.model.trainable_variables,
            optimizer._model_variables_moving_average,
            strict=True,
        )
        return {id(variable): average for variable, average in pairs}

    def state(self) -> State:
        return State({"epoch": self._begun}, [mask.numpy() for mask in self._masks])

    def restore(self, state: State) -> None:
        self._begun = state.values["epoch"]
        for mask, array in zip(self._masks, state.arrays, strict=True):
            mask.assign(array)
