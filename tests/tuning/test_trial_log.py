"""The memory of a search, damaged in every way."""

import pytest

from pipeline.core.errors import StageError
from pipeline.tuning.trial_log import FinishedTrials


def test_a_line_that_a_kill_tore_costs_one_trial(tmp_path):
    path = tmp_path / "finished.jsonl"
    first = FinishedTrials(path)
    assert [first.score({"a": n}, 1, lambda n=n: n / 10) for n in (1, 2)] == [0.1, 0.2]
    path.write_text(path.read_text()[:-4])
    second = FinishedTrials(path)
    assert [second.score({"a": n}, 1, lambda: 0.9) for n in (1, 2, 3)] == [0.1, 0.9, 0.9]
    third = FinishedTrials(path)
    assert [third.score({"a": n}, 1, lambda: 0.0) for n in (1, 2, 3)] == [0.1, 0.9, 0.9]
    assert third.score({"a": 1}, 2, lambda: 0.5) == 0.5


def test_no_flipped_bit_of_kept_trials_changes_a_score(tmp_path):
    path = tmp_path / "finished.jsonl"
    kept = FinishedTrials(path)
    scores = {n: kept.score({"a": n}, 1, lambda n=n: n / 10) for n in (1, 2)}
    content, tried = path.read_bytes(), []
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = FinishedTrials(path)
        for n, score in scores.items():
            assert found.score({"a": n}, 1, lambda n=n: tried.append(n) or scores[n]) == score
    assert len(tried) >= len(content)  # a torn line break costs both


def test_a_failed_trial_has_failed_for_good(tmp_path):
    def fail():
        raise StageError("train: the loss became nan")

    for compute in (fail, lambda: 0.9):
        with pytest.raises(StageError, match=r"^train: the loss became nan$"):
            FinishedTrials(tmp_path / "finished.jsonl").score({"a": 1}, 1, compute)


@pytest.mark.parametrize("line", ["[1]", "3", "null", '{"a": ', "[" * 100_000, "\0"])
def test_a_line_that_is_no_record_counts_for_nothing(tmp_path, line):
    path = tmp_path / "finished.jsonl"
    FinishedTrials(path).score({}, 1, lambda: 0.25)
    path.write_text(f"{line}\n{path.read_text()}\n{line}\n")
    assert FinishedTrials(path).score({}, 1, lambda: pytest.fail("trained")) == 0.25
