"""The trials of a search as this project has them, whoever runs them."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from pipeline.config.schema import Choice, Dimension, TuneSection
from pipeline.core.errors import StageError
from pipeline.tuning.oracle import create_oracle
from pipeline.tuning.trial_log import FinishedTrials, TrialValues

PROJECT = "keras_tuner"


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: from 1 in the order of their beginnings.
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


Ended = Callable[[Trial, Trial | None], None]
"""Is told of each trial that ended, and the best so far."""


class TrialSearch(BaseTuner):
    """What all searches share: KerasTuner's oracle, and what its trials were.

    A search that was killed is searched again from its seed, with the scores of its finished
    trials at hand. KerasTuner would go on from its own files, but it rewrites them in place.
    """

    def __init__(self, section: TuneSection, seed: int, folder: Path, ended: Ended) -> None:
        """Opens the search in `folder`.

        Args:
            section: the algorithm, the space and the budget.
            seed: decides which values are tried.
            folder: holds what outlives a kill; an earlier search there is continued.
            ended: is told of each trial that ended, and the best so far.
        """
        self._section, self._ended = section, ended
        self._finished = FinishedTrials(folder / "finished.jsonl")
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(
                create_oracle(section, seed),
                directory=str(folder),
                project_name=PROJECT,
                overwrite=True,
            )
        self.oracle.verbose = 0
        self._diverged = 0

    def _count_divergence(self) -> None:
        """A training that diverged says nothing of the next one, unlike one that cannot run."""
        self.oracle.max_consecutive_failed_trials += 1
        self._diverged += 1

    @contextlib.contextmanager
    def _failures_in_words(self) -> Iterator[None]:
        """Raises what ended the search early as the error that it is to a user."""
        try:
            yield
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
        except RuntimeError as error:
            raise StageError(
                f"tune: three trials in a row failed: {last_line(str(error))}"
            ) from error

    def _conclusion(self) -> list[Trial]:
        """Every trial, of which one succeeded at least, or all diverged.

        Raises:
            StageError: none did, and not all by a divergence.
        """
        trials = self.trials()
        if self.best() is None and self._diverged < len(trials):
            raise StageError(f"tune: no trial succeeded (the last: {trials[-1].why})")
        return trials

    def trials(self) -> list[Trial]:
        """Those that ended, in the order of their beginnings."""
        ended = set(self.oracle.end_order)
        return [
            self._trial(number, self.oracle.trials[identifier])
            for number, identifier in enumerate(self.oracle.start_order, start=1)
            if identifier in ended
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
        failure = last_line(trial.message or "")
        why = failure.removeprefix("train: ").partition(";")[0] if score is None else ""
        return Trial(number, searched, epochs, score, why)


def _own(dimension: Dimension, value: Any) -> Any:
    """The value as the config has it: KerasTuner turns true and false into 1 and 0."""
    if isinstance(dimension, Choice):
        return next(choice for choice in dimension.choice if choice == value)
    return value


def last_line(text: str) -> str:
    """The last line of a traceback: what went wrong."""
    line = (text.strip().splitlines() or ["no reason given"])[-1]
    return re.sub(r"^pipeline\.core\.errors\.\w+: ", "", line)
