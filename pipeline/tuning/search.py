"""A KerasTuner search whose trials are trainings of the pipeline's own model and config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner

from pipeline.config.schema import TuneSection
from pipeline.core.errors import ConfigError, DataError, StageError
from pipeline.tuning.base_search import Ended, Trial, TrialSearch
from pipeline.tuning.trial_log import TrialValues

Score = Callable[[TrialValues, int], float]
"""Trains with some values for some epochs and gives the objective."""

HOPELESS = (ConfigError, DataError, OSError)
"""What would fail every trial alike."""


class Search(TrialSearch):
    """Runs trials in this process until the oracle has enough.

    Under Hyperband each round trains afresh.
    """

    def __init__(
        self, section: TuneSection, seed: int, folder: Path, score: Score, ended: Ended
    ) -> None:
        """Opens the search in `folder`; `score` gives each trial's, the rest as in TrialSearch."""
        super().__init__(section, seed, folder, ended)
        self._score = score

    def run(self) -> list[Trial]:
        """Searches; gives every trial, in the order of their beginnings.

        Raises:
            StageError: none succeeded and not all diverged, or three in a row failed by another
                error than a divergence.
        """
        with self._failures_in_words():
            self.search()
        return self._conclusion()

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        tried = self._trial(0, trial)
        try:
            score = self._finished.score(
                tried.values, tried.epochs, lambda: self._score(tried.values, tried.epochs)
            )
        except HOPELESS as error:
            raise keras_tuner.errors.FatalError(str(error)) from error
        except StageError:
            self._count_divergence()
            raise
        return {self._section.objective: score}

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self._ended(self.trials()[-1], self.best())
