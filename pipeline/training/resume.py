"""Saves checkpoints while a training runs, and puts a training back to where one was saved."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from pipeline.core.errors import StageError
from pipeline.training.checkpoint import Checkpoint, CheckpointFile, State

NETWORK, METRICS, GENERATORS = "network", "metrics", "generators"


@runtime_checkable
class Resumable(Protocol):
    """A callback that a training cannot go on without remembering."""

    def state(self) -> State:
        """All that it must remember; unlike its own, unchanged by what follows."""

    def restore(self, state: State) -> None:
        """Makes it as it was; called after `on_train_begin`."""


@dataclass(frozen=True)
class Resume:
    """Where a training begins, and where it saves how far it came.

    Attributes:
        file: what checkpoints are written to.
        fingerprint: of all that must be the same for a training to go on.
        machine: what the bits also depend on.
        checkpoint: what to go on from.
    """

    file: CheckpointFile
    fingerprint: str
    machine: str
    checkpoint: Checkpoint | None = None

    @property
    def place(self) -> tuple[int, int]:
        """The epoch to begin with, and how many of its steps are behind."""
        return (self.checkpoint.epoch, self.checkpoint.step) if self.checkpoint else (0, 0)


def describe(resume: Resume, config_is_deterministic: bool, epochs: int) -> str | None:
    """In words where training goes on, and whether to the same bits; None if it begins."""
    found = resume.checkpoint
    if found is None:
        return None
    saved = f"(checkpoint of {found.moment:%H:%M})"
    if found.epoch == epochs:
        return f"training had come to its end {saved}"
    step = f"step {found.step + 1} of " if found.step else ""
    text = f"goes on from {step}epoch {found.epoch + 1} {saved}"
    if not config_is_deterministic:
        return f"{text}; not bit for bit: train.deterministic is false"
    if found.machine != resume.machine:
        return f"{text}; not bit for bit: saved on {found.machine}, this is {resume.machine}"
    return text


class SaveCheckpoints(keras.callbacks.Callback):
    """Goes on from a checkpoint, and saves one after each epoch and so many steps.

    It comes after all other callbacks, so that they have seen the epoch that is saved.
    """

    def __init__(
        self, resume: Resume, callbacks: Iterable[Any], every_steps: int | None = None
    ) -> None:
        """Takes what the callbacks among these that are `Resumable` remember into account."""
        super().__init__()
        self._resume, self._every_steps = resume, every_steps
        self._callbacks: dict[str, Resumable] = {
            type(c).__name__: c for c in callbacks if isinstance(c, Resumable)
        }

    def on_train_begin(self, logs: Any = None) -> None:
        checkpoint, model = self._resume.checkpoint, self.model
        if checkpoint is None:
            return
        model.optimizer.build(model.trainable_variables)
        assign(_variables(model), checkpoint.states[NETWORK], self._resume)
        restore_generators(checkpoint.states[GENERATORS])
        for name, callback in self._callbacks.items():
            callback.restore(checkpoint.states[name])
        if checkpoint.step:
            self._pass_over(checkpoint.step)

    def _pass_over(self, steps: int) -> None:
        """Lets the first executions of the epoch do nothing: Keras knows no start within one."""
        model, train = self.model, self.model.train_function
        left = steps // model.steps_per_execution

        def passing(iterator: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                model.train_function = train
            return model.get_metrics_result()

        model.train_function = passing

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._saved = epoch, 0
        checkpoint = self._resume.checkpoint
        if checkpoint and (epoch, checkpoint.step > 0) == (checkpoint.epoch, True):
            _build_metrics(self.model)
            assign(self.model.metrics_variables, checkpoint.states[METRICS], self._resume)
            self._saved = checkpoint.step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._every_steps is None:
            return
        step, next_step = batch + 1, batch + 1 + self.model.steps_per_execution
        if step < self.params["steps"] and next_step - self._saved > self._every_steps:
            self._save(self._epoch, step)
            self._saved = step

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._save(self.params["epochs"] if self.model.stop_training else epoch + 1, 0)

    def _save(self, epoch: int, step: int) -> None:
        states = {
            NETWORK: State(arrays=_values(_variables(self.model))),
            METRICS: State(arrays=_values(self.model.metrics_variables)),
            GENERATORS: generators(),
            **{name: callback.state() for name, callback in self._callbacks.items()},
        }
        resume = self._resume
        resume.file.write(Checkpoint(resume.fingerprint, resume.machine, epoch, step, states))


def _variables(model: Any) -> list[Any]:
    """Weights, statistics of batch normalisation, seeds of dropout, optimizer, weight average."""
    return [*model.variables, *model.optimizer.variables]


def _values(variables: Iterable[Any]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign(variables: list[Any], state: State, resume: Resume) -> None:
    mine = [(tuple(v.shape), v.dtype) for v in variables]
    theirs = [(array.shape, array.dtype.name) for array in state.arrays]
    if mine != theirs:
        raise StageError(
            f"train: {resume.file.path} does not fit the network and its optimizer; "
            "delete it and run again"
        )
    for variable, array in zip(variables, state.arrays, strict=True):
        variable.assign(array)


def _build_metrics(model: Any) -> None:
    """Keras makes their variables when they first measure something."""
    nothing = np.zeros((1, model.output_shape[-1]), np.float32)
    model.compute_metrics(None, nothing, nothing)


def generators() -> State:
    """Those of Python and NumPy; Keras' own are variables."""
    version, words, gauss = random.getstate()
    numbers: dict[str, Any] = np.random.get_state(legacy=False)
    keys = numbers["state"]["key"]
    values = {
        "python": [version, list(words), gauss],
        "numpy": {**numbers, "state": {"pos": numbers["state"]["pos"]}},
    }
    return State(values, [keys])


def restore_generators(state: State) -> None:
    version, words, gauss = state.values["python"]
    random.setstate((version, tuple(words), gauss))
    numbers = state.values["numpy"]
    np.random.set_state({**numbers, "state": {**numbers["state"], "key": state.arrays[0]}})
