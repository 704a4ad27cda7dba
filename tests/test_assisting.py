"""A worker of a job takes part in training; the first worker alone publishes."""

import json

import pytest

from pipeline.core.errors import ConfigError, StageError
from pipeline.workflow import graph
from tests.workflow.test_execute import Project, project  # noqa: F401

CLUSTER = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
TO_TRAIN = graph.NAMES[: graph.NAMES.index("train") + 1]


def be_worker(monkeypatch, index):
    task = {"type": "worker", "index": index}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": task}))


@pytest.fixture
def second(project: Project, monkeypatch):  # noqa: F811
    """A project whose process is the second worker of two."""
    be_worker(monkeypatch, 1)
    return project


def test_the_second_worker_trains_along_and_takes_what_the_first_published(second, monkeypatch):
    def first_publishes(context):
        second.actions.clear()
        be_worker(monkeypatch, 0)
        second.text = "the first worker's"
        second.run(last="train")
        be_worker(monkeypatch, 1)

    second.actions["train"] = first_publishes
    second.run(last="train")
    made = second.artifact("train")
    assert (made.path / "train.txt").read_text() == "train the first worker's"
    assert second.hidden("staging") == []
    assert [p.name for p in (second.store.root / "train").iterdir()] == [made.key]


def test_a_first_worker_that_published_nothing_is_an_error(second):
    with pytest.raises(StageError, match=r"^train: the first worker of the job did not publish; "):
        second.run(last="train")
    assert second.artifact("train") is None
    assert second.artifact("build") is not None


def test_a_worker_whose_training_is_there_runs_nothing(second, monkeypatch):
    be_worker(monkeypatch, 0)
    assert second.run(last="train") == list(TO_TRAIN)
    be_worker(monkeypatch, 1)
    assert second.run(last="train") == []


def test_only_a_training_that_must_run_asks_for_the_others(project, monkeypatch):  # noqa: F811
    wants_job = "train.strategy=multi_worker"
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert project.run(wants_job, last="ingest") == ["ingest"]
    with pytest.raises(ConfigError, match=r"multi_worker, but .* TF_CONFIG is not set; expected"):
        project.run(wants_job)
    assert project.ran == []
    project.run()
    assert project.run(wants_job, first="evaluate", forced=frozenset({"export"})) == ["export"]
