"""A KerasTuner search whose trials are trainings of the pipeline's own model and config."""

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from pipeline.artifacts.durable import sync
from pipeline.config import Choice, Dimension, LogRange, TuneSection
from pipeline.errors import ConfigError, DataError, StageError

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
        why: it failed.
    """

    number: int
    values: TrialValues
    epochs: int
    score: float | None
    why: str = ""


def create_space(space: Mapping[str, Dimension]) -> keras_tuner.HyperParameters:
    """The search space in KerasTuner's terms, one hyperparameter a config key."""
    parameters = keras_tuner.HyperParameters()
    for key, dimension in space.items():
        if isinstance(dimension, Choice):
            parameters.Choice(key, _of_one_type(dimension.choice))
            continue
        is_log = isinstance(dimension, LogRange)
        low, high = dimension.log if isinstance(dimension, LogRange) else dimension.linear
        is_whole = isinstance(low, int) and isinstance(high, int)
        declare = parameters.Int if is_whole else parameters.Float
        declare(key, low, high, sampling="log" if is_log else "linear")
    return parameters


def _of_one_type(choices: Sequence[Any]) -> list[Any]:
    """KerasTuner refuses whole numbers beside others; `_own` gives them back."""
    is_mixed = len({type(choice) for choice in choices}) > 1
    return [float(choice) for choice in choices] if is_mixed else list(choices)


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


class FinishedTrials:
    """The scores of finished trials, a line of JSON each behind the digest of the line.

    A kill can tear only the last line; of one that is torn or damaged the trial is tried again.
    In place of a score stands why a trial failed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scores: dict[str, float | str] = {}
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            digest, _, text = line.partition(b" ")
            if text and digest == _digest(text):
                self._scores.update(json.loads(text))

    def score(self, values: TrialValues, epochs: int, compute: Callable[[], float]) -> float:
        """The score of an earlier trial with these values, or that of a new one.

        Raises:
            StageError: the trial failed, now or earlier.
        """
        trial = json.dumps({"epochs": epochs, **values}, sort_keys=True)
        if trial not in self._scores:
            try:
                self._keep(trial, compute())
            except StageError as error:
                self._keep(trial, str(error))
                raise
        found = self._scores[trial]
        if isinstance(found, str):
            raise StageError(found)
        return found

    def _keep(self, trial: str, result: float | str) -> None:
        self._scores[trial] = result
        text = json.dumps({trial: result}).encode()
        with self._path.open("ab") as file:
            file.write(b"\n" + _digest(text) + b" " + text)
        sync(self._path)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()


class Search(BaseTuner):
    """Runs trials until the oracle has enough; under Hyperband each round trains afresh.

    A search that was killed is searched again from its seed, with the scores of its finished
    trials at hand. KerasTuner would go on from its own files, but it rewrites them in place.
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
            folder: holds what outlives a kill; an earlier search there is continued.
            score: trains with some values for some epochs and gives the objective.
            ended: is told of each trial that ended, and the best so far.
        """
        self._section, self._score, self._ended = section, score, ended
        self._finished = FinishedTrials(folder / "finished.jsonl")
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(
                create_oracle(section, seed),
                directory=str(folder),
                project_name=PROJECT,
                overwrite=True,
            )
        self.oracle.verbose = 0

    def run(self) -> list[Trial]:
        """Searches; gives every trial, in the order of their ends.

        Raises:
            StageError: none succeeded, or three in a row failed by another error than a divergence.
        """
        try:
            self.search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
        except RuntimeError as error:
            raise StageError(
                f"tune: three trials in a row failed: {_last_line(str(error))}"
            ) from error
        if self.best() is None:
            raise StageError(
                f"tune: no trial succeeded (the last: {self.trials()[-1].why}); narrow tune.space, "
                "such as its rates"
            )
        return self.trials()

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        tried = self._trial(0, trial)
        try:
            score = self._finished.score(
                tried.values, tried.epochs, lambda: self._score(tried.values, tried.epochs)
            )
        except (ConfigError, DataError, OSError) as error:  # would fail every trial alike
            raise keras_tuner.errors.FatalError(str(error)) from error
        except StageError:  # a training that diverged says nothing of the next one
            self.oracle.max_consecutive_failed_trials += 1
            raise
        return {self._section.objective: score}

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
        searched = {key: _own(d, values[key]) for key, d in self._section.space.items()}
        score = None if trial.score is None else float(trial.score)
        failure = _last_line(trial.message or "")
        why = failure.removeprefix("train: ").partition(";")[0] if score is None else ""
        return Trial(number, searched, epochs, score, why)


def _own(dimension: Dimension, value: Any) -> Any:
    """The value as the config has it: KerasTuner turns true and false into 1 and 0."""
    if isinstance(dimension, Choice):
        return next(choice for choice in dimension.choice if choice == value)
    return value


def _last_line(text: str) -> str:
    line = (text.strip().splitlines() or ["no reason given"])[-1]
    return re.sub(r"^pipeline\.errors\.\w+: ", "", line)
