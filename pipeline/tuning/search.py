"""A KerasTuner search whose trials are trainings of the pipeline's own model and config."""

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from pipeline.config import Choice, Dimension, LogRange, TuneSection
from pipeline.errors import StageError

TrialValues = Mapping[str, Any]
PROJECT = "keras_tuner"


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: from 1 in the order of their ends.
        values: of the searched keys.
        epochs: how many it trained.
        score: of the objective on validation, or None if it failed.
    """

    number: int
    values: TrialValues
    epochs: int
    score: float | None


def create_space(space: Mapping[str, Dimension]) -> keras_tuner.HyperParameters:
    """The search space in KerasTuner's terms, one hyperparameter a config key."""
    parameters = keras_tuner.HyperParameters()
    for key, dimension in space.items():
        if isinstance(dimension, Choice):
            parameters.Choice(key, list(dimension.choice))
            continue
        is_log = isinstance(dimension, LogRange)
        low, high = dimension.log if isinstance(dimension, LogRange) else dimension.linear
        is_whole = isinstance(low, int) and isinstance(high, int)
        declare = parameters.Int if is_whole else parameters.Float
        declare(key, low, high, sampling="log" if is_log else "linear")
    return parameters


def create_oracle(section: TuneSection, seed: int) -> keras_tuner.Oracle:
    """The algorithm. A seed of 0 would mean "random" to KerasTuner, so seeds are shifted by 1."""
    direction = "max" if section.objective == "val_accuracy" else "min"
    shared = {
        "objective": keras_tuner.Objective(section.objective, direction),
        "hyperparameters": create_space(section.space),
        "seed": seed + 1,
    }
    oracles = keras_tuner.oracles
    if section.algorithm == "hyperband":
        oracle = oracles.HyperbandOracle(
            max_epochs=section.epochs, factor=section.hyperband_factor, **shared
        )
        oracle.max_trials = section.max_trials
        return oracle
    kinds = {
        "bayesian": oracles.BayesianOptimizationOracle,
        "random": oracles.RandomSearchOracle,
        "grid": oracles.GridSearchOracle,
    }
    return kinds[section.algorithm](max_trials=section.max_trials, **shared)


class Search(BaseTuner):
    """Runs trials until the oracle has enough; goes on from the finished ones in its folder.

    Under Hyperband each round trains afresh for its number of epochs.
    """

    def __init__(
        self,
        section: TuneSection,
        seed: int,
        folder: Path,
        score: Callable[[TrialValues, int], float],
        ended: Callable[[Trial, Trial | None], None],
    ) -> None:
        """Opens the search in `folder`.

        Args:
            section: the algorithm, the space and the budget.
            seed: decides which values are tried.
            folder: holds KerasTuner's state; an earlier search there is continued.
            score: trains with some values for some epochs and gives the objective.
            ended: is told of each trial that ended, and the best so far.
        """
        self._section, self._score, self._ended = section, score, ended
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(
                create_oracle(section, seed), directory=str(folder), project_name=PROJECT
            )
        self.oracle.verbose = 0

    def run(self) -> list[Trial]:
        """Searches; gives every trial, in the order of their ends.

        Raises:
            StageError: three trials in a row failed, or none succeeded.
        """
        try:
            self.search()
        except RuntimeError as error:
            raise StageError(f"tune: three trials in a row failed: {_last_line(error)}") from error
        if self.best() is None:
            raise StageError("tune: no trial succeeded; narrow tune.space, such as its rates")
        return self.trials()

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        values = trial.hyperparameters.values
        epochs = values.get("tuner/epochs", self._section.epochs)
        return {self._section.objective: self._score(_searched(values), epochs)}

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self._ended(self.trials()[-1], self.best())

    def trials(self) -> list[Trial]:
        return [
            self._trial(number, self.oracle.trials[identifier])
            for number, identifier in enumerate(self.oracle.end_order, start=1)
        ]

    def best(self) -> Trial | None:
        """The trial with the best score; of equals, the first."""
        sign = 1 if self._section.objective == "val_accuracy" else -1
        scored = [t for t in self.trials() if t.score is not None]
        return max(scored, key=lambda t: (sign * (t.score or 0.0), -t.number), default=None)

    def _trial(self, number: int, trial: Any) -> Trial:
        values = trial.hyperparameters.values
        epochs = int(values.get("tuner/epochs", self._section.epochs))
        score = None if trial.score is None else float(trial.score)
        return Trial(number, _searched(values), epochs, score)


def _searched(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what KerasTuner adds for itself."""
    return {key: value for key, value in values.items() if not key.startswith("tuner/")}


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[-1]
