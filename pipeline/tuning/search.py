"""A KerasTuner search whose trials are trainings of the pipeline's own model and config."""

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from pipeline.config import Choice, Dimension, TuneSection
from pipeline.errors import ConfigError, DataError, StageError
from pipeline.tuning.finished import FinishedTrials, TrialValues
from pipeline.tuning.oracle import create_oracle

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
