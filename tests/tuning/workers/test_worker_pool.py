"""Worker processes that start, end and are killed; none of them trains."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError, StageError
from pipeline.core.plugins import ROOT
from pipeline.tuning.workers import join, worker_pool
from pipeline.tuning.workers.worker_pool import WorkerPool, threads_of_each

WAITS = "import sys; sys.stdin.read() or __import__('signal').pause()"
TRIES = "(pathlib.Path(sys.argv[1]).parent / 'trial-1').touch()"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A pool whose members run some code."""

    def create(code, count=2):
        (tmp_path / "told.py").write_text(f"import os, pathlib, signal, sys\n{code}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(worker_pool, "workers", SimpleNamespace(__name__="told"))
        config = load_config(ROOT / "configs" / "mnist.yaml", [f"tune.workers={count}"])
        folder = tmp_path / "pool"
        folder.mkdir()
        return WorkerPool(
            config, tmp_path, folder, search="it", address="127.0.0.1:9", wait_seconds=1
        )

    return create


def until_lost(members):
    """Tends until a member is."""
    while not (lost := members.tend()):
        os.sched_yield()
    return lost


def test_a_member_that_is_killed_is_replaced(start):
    with start(WAITS) as members:
        before = dict(members.process_ids)
        victim, survivor = before
        os.kill(before[victim], signal.SIGKILL)
        assert until_lost(members) == [victim]
        assert not members.started(victim)
        assert members.started(survivor)
        assert len(members.process_ids) == 2


def test_no_member_outlives_the_block(start):
    with start(WAITS) as members:
        processes = list(members.process_ids.values())
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize(("code", "kind"), [(1, StageError), (2, ConfigError)])
def test_a_member_that_cannot_work_ends_the_crew_with_its_last_words(start, code, kind):
    says = f"sys.stderr.write('2026-01-01 00:00:00: I log\\nno memory\\n'); sys.exit({code})"
    with (
        start(says, 1) as members,
        pytest.raises(kind, match=r"^tune: a worker cannot work: no memory$"),
    ):
        until_lost(members)


def test_members_that_are_killed_at_their_start_are_not_replaced_for_ever(start):
    message = r"^tune: 3 workers were killed by SIGKILL at their start; is there memory for 1\?"
    with start("os.kill(os.getpid(), signal.SIGKILL)", 1) as members:
        until_lost(members)
        until_lost(members)
        with pytest.raises(StageError, match=message):
            until_lost(members)


def test_members_that_are_killed_in_trials_are_replaced_each_time(start):
    with start(f"{TRIES}; os.kill(os.getpid(), signal.SIGKILL)", 1) as members:
        for _ in range(5):
            until_lost(members)
        assert members.trials >= 5


def test_joining_ends_when_the_search_has_no_more_and_counts_its_trials(
    start, tmp_path, monkeypatch
):
    members = start(TRIES)
    monkeypatch.setattr(join, "WorkerPool", lambda *given, **named: members)
    monkeypatch.setattr(join, "search_name", lambda config, images: "it")
    monkeypatch.setattr(join, "LOOK_SECONDS", 0.001)
    told = []
    begun = join.join(members._config, tmp_path, "127.0.0.1:9", lambda: told.append("joined"))
    assert (begun, told) == (2, ["joined"])


def test_who_comes_when_the_search_is_over_never_joined_it(start, tmp_path, monkeypatch):
    members = start("")
    monkeypatch.setattr(join, "WorkerPool", lambda *given, **named: members)
    monkeypatch.setattr(join, "search_name", lambda config, images: "it")
    monkeypatch.setattr(join, "LOOK_SECONDS", 0.001)
    assert join.join(members._config, tmp_path, "127.0.0.1:9", pytest.fail) == 0


def test_a_worker_has_its_share_of_the_cores_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8))
    assert [threads_of_each(count) for count in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert threads_of_each(2) == 3


def test_a_crew_runs_this_python(start):
    with start(f"sys.exit(sys.executable != {sys.executable!r})", 1) as members:
        while members.is_at_work:
            assert members.tend() == []
