"""What TF_CONFIG says of a job, and what it must say."""

import json

import pytest

from pipeline.cluster import Cluster, is_assistant, job_of
from pipeline.config import TrainSection
from pipeline.errors import ConfigError

TWO = ["a:2222", "b:2223"]


def said(cluster, task=None):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, **({"task": task} if task else {})})}


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_each_worker_knows_which_it_is(strategy):
    section = TrainSection(strategy=strategy)
    second = job_of(section, said({"worker": TWO}, {"type": "worker", "index": 1}))
    assert second == Cluster(("a:2222", "b:2223"), 1)
    assert (second.is_chief, second.name, second.others) == (False, "worker 2 of 2", ("a:2222",))
    assert job_of(section, said({"worker": TWO}, {"type": "worker", "index": 0})).is_chief


def test_a_chief_comes_before_the_workers():
    cluster = {"worker": TWO, "chief": ["c:1"]}
    assert job_of(TrainSection(), said(cluster, {"type": "chief", "index": 0})).is_chief
    assert job_of(TrainSection(), said(cluster, {"type": "worker", "index": 1})) == Cluster(
        ("c:1", "a:2222", "b:2223"), 2
    )


@pytest.mark.parametrize(
    "section",
    [
        TrainSection(strategy="none"),
        TrainSection(strategy="mirrored"),
        TrainSection(jit_compile=True),
    ],
)
def test_a_training_on_one_machine_belongs_to_no_job(section):
    assert job_of(section, said({"worker": TWO}, {"type": "worker", "index": 1})) is None


@pytest.mark.parametrize("environ", [{}, {"TF_CONFIG": ""}, said({"worker": ["a:1"]})])
def test_one_worker_is_a_job_only_if_the_config_says_so(environ):
    assert job_of(TrainSection(), environ) is None
    with pytest.raises(ConfigError, match=r"multi_worker, but .* (not set|one worker); expected"):
        job_of(TrainSection(strategy="multi_worker"), environ)


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"TF_CONFIG": "{"}, "Expecting"),
        ({"TF_CONFIG": "[]"}, "indices"),
        (said({"worker": TWO}, {"type": "worker", "index": 2}), "it has no worker 2"),
        (said({"worker": TWO}, {"type": "ps", "index": 0}), "'ps'"),
        (said({"worker": TWO, "ps": ["c:1"]}), "it names ps, and only workers train here"),
        (said({"worker": ["a", "b"]}), "each worker needs an address, host:port"),
    ],
)
def test_what_cannot_be_used_is_refused(environ, found):
    with pytest.raises(ConfigError, match=rf"^environment variable TF_CONFIG: .*{found}.*expected"):
        job_of(TrainSection(), environ)


def test_all_workers_but_the_first_assist(monkeypatch):
    for index in (0, 1):
        found = said({"worker": TWO}, {"type": "worker", "index": index})
        monkeypatch.setenv("TF_CONFIG", found["TF_CONFIG"])
        assert is_assistant(TrainSection()) is bool(index)
