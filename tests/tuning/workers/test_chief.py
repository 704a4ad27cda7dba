"""Searches by several workers that are only calls: nothing is served, nothing is trained."""

import json
import threading
import time

import pytest

from pipeline.config.schema import Choice, LinearRange, LogRange, TuneSection
from pipeline.core.errors import ConfigError, StageError
from pipeline.training.precision import Execution
from pipeline.tuning.search import Search
from pipeline.tuning.trial_log import FinishedTrials
from pipeline.tuning.workers import chief
from pipeline.tuning.workers.chief import SharedSearch
from pipeline.tuning.workers.messages import Answer

SPACE = {
    "train.learning_rate": LogRange(log=(1e-4, 1e-1)),
    "model.filters": LinearRange(linear=(8, 12)),
    "model.batch_norm": Choice(choice=(True, False)),
}
EXECUTION = Execution("float32", False, "as configured")


class Nobody:
    """No workers of the chief's own."""

    def tend(self):
        return ()

    def started(self, worker):
        return False


def score(values, epochs=1):
    return values["train.learning_rate"] / 3 + values["model.filters"]


def section(algorithm="random", **options):
    options = {"max_trials": 6, "epochs": 9, "space": SPACE, **options}
    return TuneSection(enabled=True, algorithm=algorithm, workers=2, **options)


@pytest.fixture
def shared_search(tmp_path, monkeypatch):
    monkeypatch.setattr(chief, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(chief, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(chief, "FAREWELL_SECONDS", 0.01)

    def create(algorithm="random", folder="shared", ended=lambda trial, best: None, **options):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        return SharedSearch(section(algorithm, **options), 0, place, ended, EXECUTION)

    return create


def alone(folder, algorithm="random", **options):
    folder.mkdir()
    told = section(algorithm, **options)
    return Search(told, 0, folder, score, lambda trial, best: None).run()


def begin(search, *workers):
    """A trial for each worker."""
    trials = [search.next_trial(worker) for worker in workers]
    assert {trial.status for trial in trials} == {"RUNNING"}
    return trials


def finish(search, *trials):
    for trial in trials:
        search.end(trial.trial_id, Answer(score=score(search.task(trial).values)))


def run_out(search, worker="last"):
    """Lets one worker do what is left."""
    while (trial := search.next_trial(worker)).status == "RUNNING":
        finish(search, trial)
    return search.run(Nobody())


@pytest.mark.parametrize("algorithm", ["random", "grid"])
def test_whichever_worker_ends_first_the_trials_are_those_of_one_worker(
    shared_search, tmp_path, algorithm
):
    search = shared_search(algorithm)
    first, second, third = begin(search, "a", "b", "c")
    finish(search, third, first)
    fourth, fifth = begin(search, "c", "a")
    finish(search, fifth, second, fourth)
    expected = alone(tmp_path / "alone", algorithm)
    assert run_out(search) == expected
    assert [trial.number for trial in expected] == [1, 2, 3, 4, 5, 6]


def test_of_equal_scores_the_trial_that_began_first_is_the_best(shared_search):
    search = shared_search(max_trials=2)
    first, second = begin(search, "a", "b")
    for trial in (second, first):
        search.end(trial.trial_id, Answer(score=0.5))
    run_out(search)
    assert search.best().number == 1


def test_a_lost_workers_trial_is_given_to_the_next_that_asks(shared_search, tmp_path):
    search = shared_search(max_trials=2)
    first, second = begin(search, "a", "b")
    search.lose("a")
    finish(search, second)
    (again,) = begin(search, "c")
    assert again.trial_id == first.trial_id
    finish(search, again)
    assert run_out(search) == alone(tmp_path / "alone", max_trials=2)


def test_a_worker_that_was_only_thought_lost_may_still_answer(shared_search):
    search = shared_search(max_trials=1)
    (first,) = begin(search, "a")
    search.lose("a")
    finish(search, first)
    assert [trial.score for trial in run_out(search)] == [score(search.task(first).values)]


def test_of_two_answers_to_a_trial_the_first_counts(shared_search):
    search = shared_search(max_trials=1)
    (first,) = begin(search, "a")
    search.lose("a")
    begin(search, "b")
    search.end(first.trial_id, Answer(score=0.25))
    search.end(first.trial_id, Answer(score=0.75))
    assert [trial.score for trial in run_out(search)] == [0.25]


def test_a_trial_whose_worker_is_lost_three_times_has_failed(shared_search):
    search = shared_search(max_trials=2)
    for worker in ("a", "b", "c"):
        (first,) = begin(search, worker)
        search.lose(worker)
    failed, other = run_out(search)
    assert (first.trial_id, failed.number, failed.score) == ("0", 1, None)
    assert failed.why == "its worker was lost 3 times"
    assert other.score is not None


def test_a_silent_worker_is_lost_and_one_with_signs_of_life_is_not(shared_search, monkeypatch):
    search = shared_search(max_trials=2)
    silent, alive = begin(search, "silent", "alive")
    now = time.monotonic()
    monkeypatch.setattr(chief, "monotonic", lambda: now + 50)
    search.hear(alive.trial_id)
    monkeypatch.setattr(chief, "monotonic", lambda: now + 70)
    assert search.silent() == ["silent"]
    waiting = threading.Thread(target=search.run, args=(Nobody(),))
    waiting.start()
    while (again := search.next_trial("other")).status == "IDLE":
        pass
    assert again.trial_id == silent.trial_id
    finish(search, again, alive)
    assert search.next_trial("other").status == "STOPPED"
    waiting.join(timeout=10)
    assert not waiting.is_alive()


def test_while_others_are_at_work_nobody_is_sent_away(shared_search):
    search = shared_search(max_trials=1)
    (first,) = begin(search, "a")
    assert search.next_trial("b").status == "IDLE"
    finish(search, first)
    assert search.next_trial("b").status == "STOPPED"


@pytest.mark.parametrize("algorithm", ["random", "grid", "bayesian", "hyperband"])
def test_what_a_killed_search_had_finished_is_not_done_again(shared_search, algorithm):
    search = shared_search(algorithm)
    trials = begin(search, "a", "b")
    finish(search, *trials)
    begin(search, "a")  # and is killed
    again = shared_search(algorithm)
    (handed_out,) = begin(again, "a")
    finished = [search.task(trial) for trial in trials]
    assert again.task(handed_out) not in finished
    assert [trial.values for trial in again.trials()] == [task.values for task in finished]


def test_scores_and_reasons_are_kept_as_one_worker_keeps_them(shared_search, tmp_path):
    search = shared_search(max_trials=2)
    first, second = begin(search, "a", "b")
    search.end(first.trial_id, Answer(score=0.1 + 0.2))
    search.end(second.trial_id, Answer(failure="train: the loss became nan at step 1; lower it"))
    kept = FinishedTrials(tmp_path / "shared" / "finished.jsonl")
    tasks = [search.task(trial) for trial in (first, second)]
    assert kept.known(tasks[0].values, 9) == 0.30000000000000004
    assert kept.known(tasks[1].values, 9) == "train: the loss became nan at step 1; lower it"
    again = shared_search(max_trials=2)
    assert [(t.score, t.why) for t in run_out(again)] == [
        (0.30000000000000004, ""),
        (None, "the loss became nan at step 1"),
    ]


def test_trouble_of_a_worker_is_not_kept(shared_search, tmp_path):
    search = shared_search(max_trials=1)
    (first,) = begin(search, "a")
    search.end(first.trial_id, Answer(trouble="RuntimeError: no such device"))
    assert [trial.why for trial in search.trials()] == ["RuntimeError: no such device"]
    assert not (tmp_path / "shared" / "finished.jsonl").exists()


def test_three_troubles_in_a_row_end_the_search_and_say_why(shared_search):
    search = shared_search()
    for trial in begin(search, "a", "b", "c"):
        search.end(trial.trial_id, Answer(trouble="RuntimeError: no such device"))
    message = r"^tune: three trials in a row failed: RuntimeError: no such device$"
    with pytest.raises(StageError, match=message):
        search.run(Nobody())
    assert search.next_trial("a").status == "STOPPED"


def test_after_an_error_no_other_worker_waits_for_ever(shared_search):
    search = shared_search()
    trials = begin(search, "a", "b", "c", "d")
    for trial in trials[:3]:
        search.end(trial.trial_id, Answer(trouble="RuntimeError: no such device"))
    late = threading.Thread(target=finish, args=(search, trials[3]), daemon=True)
    late.start()
    late.join(timeout=10)
    assert not late.is_alive()


def test_divergences_do_not_end_the_search(shared_search):
    search = shared_search(max_trials=5)
    for trial in begin(search, "a", "b", "c", "d"):
        search.end(trial.trial_id, Answer(failure="train: the loss became nan"))
    assert [t.score is None for t in run_out(search)] == [True, True, True, True, False]


@pytest.mark.parametrize(
    ("hopeless", "kind"),
    [(("ConfigError", "no such key"), ConfigError), (("OSError", "disk is full"), StageError)],
)
def test_what_would_fail_every_trial_ends_the_search_at_once(shared_search, hopeless, kind):
    search = shared_search()
    (first,) = begin(search, "a")
    search.end(first.trial_id, Answer(hopeless=hopeless))
    with pytest.raises(kind, match=f"^{hopeless[1]}$"):
        search.run(Nobody())


def test_each_trial_is_told_once_with_its_number(shared_search):
    told = []
    search = shared_search(max_trials=3, ended=lambda trial, best: told.append(trial.number))
    first, second = begin(search, "a", "b")
    finish(search, second, first)
    run_out(search)
    assert told == [2, 1, 3]


def test_what_goes_between_chief_and_worker_survives_json(shared_search):
    search = shared_search(max_trials=1)
    (first,) = begin(search, "a")
    task = search.task(first)
    assert json.loads(json.dumps(task.values)) == task.values
    assert (task.epochs, task.policy, task.jit_compile) == (9, "float32", False)
