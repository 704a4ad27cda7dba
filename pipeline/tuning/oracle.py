"""The algorithms of a search in KerasTuner's terms: its space and the oracle that picks from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras_tuner

from pipeline.config.schema import Choice, Dimension, LogRange, TuneSection


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


class GridOracle(keras_tuner.oracles.GridSearchOracle):
    """Goes through the grid in one order, however many trials are under way.

    KerasTuner's own waits for the end of each trial but the first, in case it shows a new
    hyperparameter; here all are known from the start.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        response: dict[str, Any] = super().populate_space(trial_id)
        if response["status"] == "RUNNING" and self.start_order:
            self._populate_next.append(trial_id)
        return response


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
        "grid": GridOracle,
    }
    return kinds[section.algorithm](max_trials=section.max_trials, **shared)
