"""A training in a child process: what it says comes through, and its end is told in one line."""

import multiprocessing
import os
import re
import socket
import time
from dataclasses import dataclass, field

import pytest

from pipeline.config.schema import DataSection, ExportSection, ModelSection, PipelineConfig
from pipeline.config.train.tf_config import Cluster
from pipeline.core.errors import ConfigError, DataError, StageError
from pipeline.stages.train import worker_process
from pipeline.stages.train.worker_process import train_in_child
from pipeline.workflow.stage import StageContext, StageResult

NOBODY = "127.0.0.1:1"


class UnavailableError(Exception):
    """As TensorFlow's."""


def well(context):
    assert context.config.train.batch_size == 128
    with context.progress.task("training", 10) as task:
        task.advance(7, "so far")
    context.progress.line("a line")
    return StageResult("all well", {"accuracy": 1.0})


def badly(context):
    raise DataError("no images")


def never_with_others(context):
    raise UnavailableError("somebody is gone")


def no_longer_with_others(context):
    context.progress.line("all are there")
    never_with_others(context)


def killed(context):
    os._exit(3)


def wrongly(context):
    raise KeyError("a mistake of ours")


def late(context):
    time.sleep(3)
    return StageResult("all well")


@dataclass
class Screen:
    said: list = field(default_factory=list)

    def task(self, description, total):
        self.said.append((description, total))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.said.append("end")

    def advance(self, steps=1, note=""):
        self.said.append((steps, note))

    def line(self, text):
        self.said.append(text)


@pytest.fixture
def own():
    """An address of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.fixture
def forked(monkeypatch):
    """Children are copies of this process, which has loaded TensorFlow."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", {"spawn": fork}.__getitem__)


def train(function, tmp_path, own, other=NOBODY):
    config = PipelineConfig(
        name="test",
        data=DataSection(source="idx"),
        model=ModelSection(preset="two_conv"),
        export=ExportSection(formats=("onnx",)),
    )
    screen = Screen()
    context = StageContext(config, {}, tmp_path, tmp_path, screen)
    job = Cluster((own, other), 0)
    return screen, lambda: train_in_child(function, context, job)


def test_what_a_child_says_is_shown_and_what_it_gives_is_given(tmp_path, own):
    screen, call = train(well, tmp_path, own)
    assert call() == StageResult("all well", {"accuracy": 1.0})
    assert screen.said == [
        f"worker with index 0: waits for {NOBODY}, up to 30 minutes",
        ("training", 10),
        (7, "so far"),
        "a line",
        "end",
    ]


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("function", [no_longer_with_others, killed])
def test_a_lost_worker_is_told_in_one_line_with_what_to_do(function, tmp_path, own):
    _, call = train(function, tmp_path, own)
    said = rf"^train: worker with index 0 lost .* {NOBODY}\); start the same .*$"
    with pytest.raises(StageError, match=said):
        call()


@pytest.mark.usefixtures("forked")
def test_where_all_workers_answer_the_error_itself_is_told_too(tmp_path, own):
    with socket.create_server(("127.0.0.1", 0)) as there:
        other = f"127.0.0.1:{there.getsockname()[1]}"
        _, call = train(no_longer_with_others, tmp_path, own, other)
        with pytest.raises(
            StageError, match=r"\(all answer again\); .*; if it comes to the same, "
        ):
            call()


DID_NOT_COME = (
    r"^train: worker with index 0 waited for {other}, which did not come \({found}.*\); start the "
    r"same command on all machines, each up to {minutes} minutes after the first, .*$"
)


@pytest.mark.usefixtures("forked")
def test_a_worker_that_never_was_there_is_told_from_one_that_was_lost(tmp_path, own):
    _, call = train(never_with_others, tmp_path, own)
    said = DID_NOT_COME.format(other=NOBODY, found="no answer there", minutes=30)
    with pytest.raises(StageError, match=said):
        call()


@pytest.mark.usefixtures("forked")
def test_who_does_not_join_is_waited_for_so_long_and_no_longer(tmp_path, own, monkeypatch):
    monkeypatch.setattr(worker_process, "WAIT_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        other = f"127.0.0.1:{silent.getsockname()[1]}"
        _, call = train(late, tmp_path, own, other)
        said = DID_NOT_COME.format(other=other, found="something answers there", minutes=0)
        with pytest.raises(StageError, match=said):
            call()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_another_program_has_is_told_before_anyone_is_waited_for(tmp_path, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        screen, call = train(well, tmp_path, f"machine:{port}")
        said = f"worker with index 0 is to listen at machine:{port}, but port {port} of this"
        with pytest.raises(ConfigError, match=re.escape(said)):
            call()
    assert screen.said == []


@pytest.mark.usefixtures("forked")
def test_an_error_of_the_training_stays_what_it_is(tmp_path, own):
    _, call = train(badly, tmp_path, own)
    with pytest.raises(DataError, match=r"^no images$"):
        call()


@pytest.mark.usefixtures("forked")
def test_a_mistake_of_the_program_is_shown_in_full(tmp_path, own):
    _, call = train(wrongly, tmp_path, own)
    with pytest.raises(RuntimeError, match="in wrongly\n"):
        call()
