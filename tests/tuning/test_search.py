"""Searches over a score that is a formula: nothing is trained."""

import json
import math

import pytest

from pipeline.config.schema import Choice, LinearRange, LogRange, TuneSection
from pipeline.core.errors import StageError
from pipeline.tuning.oracle import create_space
from pipeline.tuning.search import Search

SPACE = {
    "train.learning_rate": LogRange(log=(1e-4, 1e-1)),
    "model.dropout": LinearRange(linear=(0.0, 0.5)),
    "model.filters": LinearRange(linear=(8, 32)),
    "train.optimizer": Choice(choice=("adam", "sgd")),
    "model.batch_norm": Choice(choice=(True, False)),
}
ALGORITHMS = ["random", "bayesian", "grid", "hyperband"]


def score(values, epochs):
    """Highest, 1, at a rate of 0.01, no dropout and 16 filters."""
    rate = math.log10(values["train.learning_rate"]) + 2
    return 1 - 0.1 * rate**2 - values["model.dropout"] ** 2 - abs(values["model.filters"] - 16) / 99


def section(algorithm="random", **options):
    options = {"max_trials": 6, "epochs": 9, "space": SPACE, **options}
    return TuneSection(enabled=True, algorithm=algorithm, **options)


def search(folder, algorithm="random", seed=0, score=score, **options):
    folder.mkdir(exist_ok=True)
    return Search(section(algorithm, **options), seed, folder, score, lambda trial, best: None)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_makes_its_trials_in_the_space_and_finds_the_best(tmp_path, algorithm):
    done = search(tmp_path, algorithm)
    trials = done.run()
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6]
    for trial in trials:
        assert set(trial.values) == set(SPACE)
        assert 1e-4 <= trial.values["train.learning_rate"] <= 1e-1
        assert 0 <= trial.values["model.dropout"] <= 0.5
        assert type(trial.values["model.filters"]) is int
        assert 8 <= trial.values["model.filters"] <= 32
        assert trial.values["train.optimizer"] in ("adam", "sgd")
        assert type(trial.values["model.batch_norm"]) is bool
        assert trial.score == pytest.approx(score(trial.values, trial.epochs))
        assert json.loads(json.dumps(trial.values)) == trial.values
    assert done.best().score == max(trial.score for trial in trials)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_seed_decides_the_trials_and_0_is_a_seed(tmp_path, algorithm):
    first = search(tmp_path / "a", algorithm, seed=0).run()
    again = search(tmp_path / "b", algorithm, seed=0).run()
    other = search(tmp_path / "c", algorithm, seed=1).run()
    assert first == again
    assert (first == other) == (algorithm == "grid")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_killed_in_every_trial_a_search_makes_the_same_trials(tmp_path, algorithm):
    unbroken = search(tmp_path / "unbroken", algorithm).run()
    scored = []

    def once(values, epochs):
        if calls:
            raise KeyboardInterrupt
        calls.append(epochs)
        scored.append((epochs, values))
        return score(values, epochs)

    for _ in unbroken[1:]:
        calls = []
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "killed", algorithm, score=once).run()
    calls = []
    assert search(tmp_path / "killed", algorithm, score=once).run() == unbroken
    assert scored == [(trial.epochs, trial.values) for trial in unbroken]


def test_each_trial_is_told_with_the_best_so_far(tmp_path):
    told = []
    scores = iter([0.5, 0.7, 0.6])
    Search(
        section(max_trials=3),
        0,
        tmp_path,
        lambda values, epochs: next(scores),
        lambda trial, best: told.append((trial.number, trial.score, best.score)),
    ).run()
    assert told == [(1, 0.5, 0.5), (2, 0.7, 0.7), (3, 0.6, 0.7)]


def test_the_lowest_loss_is_the_best_and_of_equals_the_first(tmp_path):
    scores = iter([0.5, 0.2, 0.2, 0.3])
    done = search(tmp_path, score=lambda v, e: next(scores), objective="val_loss", max_trials=4)
    done.run()
    assert (done.best().number, done.best().score) == (2, 0.2)


def test_a_trial_that_fails_is_recorded_without_a_score(tmp_path):
    scores = iter([0.5, None, 0.7])

    def sometimes(values, epochs):
        number = next(scores)
        if number is None:
            raise StageError("train: the loss became nan")
        return number

    done = search(tmp_path, score=sometimes, max_trials=3)
    assert [trial.score for trial in done.run()] == [0.5, None, 0.7]
    assert done.best().number == 3


def test_trials_that_diverge_do_not_end_the_search(tmp_path):
    scores = iter([None, None, None, None, 0.7])

    def sometimes(values, epochs):
        if (score := next(scores)) is None:
            raise StageError("train: the loss became nan at step 1 of epoch 1; lower it")
        return score

    done = search(tmp_path, score=sometimes, max_trials=5)
    trials = done.run()
    assert [trial.score for trial in trials] == [None] * 4 + [0.7]
    assert [trial.why for trial in trials] == ["the loss became nan at step 1 of epoch 1"] * 4 + [
        ""
    ]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_whose_trials_all_diverge_ends_without_a_best(tmp_path, algorithm):
    def diverge(values, epochs):
        raise StageError("train: the loss became nan at step 1 of epoch 1; lower it")

    done = search(tmp_path, algorithm, score=diverge, max_trials=5)
    trials = done.run()
    assert done.best() is None
    assert [(t.score, t.why) for t in trials] == [
        (None, "the loss became nan at step 1 of epoch 1")
    ] * 5


def test_where_some_diverge_and_the_others_cannot_run_the_search_has_failed(tmp_path):
    turns = iter([StageError("train: the loss became nan; lower it"), RuntimeError("no device")])

    def fail(values, epochs):
        raise next(turns)

    message = r"^tune: no trial succeeded \(the last: RuntimeError: no device\)$"
    with pytest.raises(StageError, match=message):
        search(tmp_path, score=fail, max_trials=2).run()


def test_three_other_failures_in_a_row_end_the_search_and_say_why(tmp_path):
    calls = []

    def fail(values, epochs):
        calls.append(values)
        raise RuntimeError("no such device")

    message = r"^tune: three trials in a row failed: RuntimeError: no such device$"
    with pytest.raises(StageError, match=message):
        search(tmp_path, score=fail).run()
    assert len(calls) == 3


def test_a_search_without_a_score_is_an_error(tmp_path):
    with pytest.raises(StageError, match=r"^tune: no trial succeeded"):
        search(tmp_path, score=lambda v, e: 1 / 0, max_trials=2).run()


def test_a_grid_ends_when_every_point_was_tried(tmp_path):
    space = {
        "model.filters": Choice(choice=(8, 16)),
        "train.optimizer": Choice(choice=("adam", "sgd")),
    }
    trials = search(
        tmp_path, "grid", space=space, max_trials=10, score=lambda v, e: v["model.filters"]
    ).run()
    tried = {tuple(trial.values.values()) for trial in trials}
    assert tried == {(f, o) for f in (8, 16) for o in ("adam", "sgd")}
    assert len(trials) == 4


def test_hyperband_trains_the_better_half_for_longer(tmp_path):
    trials = search(tmp_path, "hyperband", max_trials=100, epochs=9, hyperband_factor=3).run()
    epochs = [trial.epochs for trial in trials]
    assert set(epochs) == {1, 3, 9}
    shortest = [t for t in trials if t.epochs == 1]
    promoted = [t for t in trials if t.epochs == 3 and t.values in [s.values for s in shortest]]
    threshold = sorted((t.score for t in shortest), reverse=True)[len(promoted) - 1]
    assert promoted
    assert all(t.score >= threshold for t in promoted)


def test_a_whole_range_on_a_log_scale_gives_whole_numbers():
    space = create_space({"train.batch_size": LogRange(log=(16, 512))})
    values = {space.space[0].random_sample(seed) for seed in range(200)}
    assert {type(value) for value in values} == {int}
    assert min(values) >= 16
    assert max(values) <= 512
    # Half of a log scale lies below the geometric mean of its ends, sqrt(16 * 512) = 90.5.
    below = sum(space.space[0].random_sample(seed) < 90.5 for seed in range(200))
    assert 70 <= below <= 130
