"""What TF_CONFIG says of a job, and what it must say."""

import json

import pytest

from pipeline.config.schema import TrainSection
from pipeline.config.train.tf_config import Cluster, is_assistant, job_of
from pipeline.core.errors import ConfigError

TWO = ["a:2222", "b:2223"]


def said(cluster, task=None):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, **({"task": task} if task else {})})}


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_each_worker_knows_which_it_is(strategy):
    section = TrainSection(strategy=strategy)
    second = job_of(section, said({"worker": TWO}, {"type": "worker", "index": 1}))
    assert second == Cluster(("a:2222", "b:2223"), 1)
    assert (second.is_chief, second.name) == (False, "worker with index 1")
    assert (second.address, second.others) == ("b:2223", ("a:2222",))
    assert job_of(section, said({"worker": TWO}, {"type": "worker", "index": 0})).is_chief
    assert job_of(section, said({"worker": TWO}, {"type": "worker", "index": "1"})) == second


def test_a_chief_comes_before_the_workers():
    cluster = {"worker": TWO, "chief": ["c:1"]}
    chief = job_of(TrainSection(), said(cluster, {"type": "chief", "index": 0}))
    assert (chief.is_chief, chief.name) == (True, "chief")
    second = job_of(TrainSection(), said(cluster, {"type": "worker", "index": 1}))
    assert second == Cluster(("c:1", "a:2222", "b:2223"), 2, has_chief=True)
    assert second.name == "worker with index 1"


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


FIRST = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"TF_CONFIG": "{"}, "all of it is '{' (Invalid JSON"),
        ({"TF_CONFIG": "[]"}, "all of it is []"),
        ({"TF_CONFIG": "{}"}, "cluster is missing"),
        ({"TF_CONFIG": "[" * 100_000}, "recursion"),
        (said({}), "cluster names no worker"),
        (said(TWO), "cluster is ['a:2222', 'b:2223'] (Input should be an object"),
        (said({"worker": TWO}), "task is missing, which says which of the workers this is"),
        (said({"worker": TWO}, {"index": 0}), "task.type is missing"),
        (said({"worker": TWO}, {"type": "worker"}), "task.index is missing"),
        (said({"worker": TWO}, [1]), "task is [1]"),
        (said({"worker": TWO}, {"type": ["worker"], "index": 0}), "task.type is ['worker']"),
        (said({"worker": TWO}, {"type": "worker", "index": "b"}), "task.index is 'b'"),
        (said({"worker": TWO}, {"type": "worker", "index": True}), "task.index is True"),
        (said({"worker": TWO}, {"type": "worker", "index": -1}), "task.index is -1"),
        (
            said({"worker": TWO}, {"type": "worker", "index": 2}),
            "cluster has no worker with index 2",
        ),
        (said({"worker": TWO}, {"type": "chief", "index": 0}), "cluster has no chief with index 0"),
        (said({"worker": TWO}, {"type": "ps", "index": 0}), "task.type is 'ps'"),
        (said({"worker": TWO, "ps": ["c:1"]}, FIRST), "cluster.ps: only chief and worker train"),
        (said({"chief": TWO, "worker": TWO}, FIRST), "cluster.chief is ['a:2222', 'b:2223']"),
        (said({"worker": "a:2222"}, FIRST), "cluster.worker is 'a:2222'"),
        (said({"worker": {"0": "a:2222"}}, FIRST), "cluster.worker is {'0': 'a:2222'}"),
        (said({"worker": ["a:1", "b"]}, FIRST), "cluster.worker.1: 'b' is no address"),
        (said({"worker": ["a:1", "b:http"]}, FIRST), "cluster.worker.1: 'b:http' is no address"),
        (said({"worker": ["a:1", "b:70000"]}, FIRST), "cluster.worker.1: 'b:70000' is no address"),
        (said({"worker": ["a:1", "a:1"]}, FIRST), "cluster names an address twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_refused(environ, found):
    with pytest.raises(ConfigError) as caught:
        job_of(TrainSection(), environ)
    message = str(caught.value)
    assert message.startswith("environment variable TF_CONFIG: ")
    assert message.partition("; expected ")[0].find(found) > 0
    assert message.count("\n") == 0


def test_nobody_assists_in_a_job_that_there_is_not(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert not is_assistant(TrainSection(strategy="multi_worker"))


def test_all_workers_but_the_first_assist(monkeypatch):
    for index in (0, 1):
        found = said({"worker": TWO}, {"type": "worker", "index": index})
        monkeypatch.setenv("TF_CONFIG", found["TF_CONFIG"])
        assert is_assistant(TrainSection()) is bool(index)
