"""A training in a child process: what it says comes through, and its end is told in one line."""

import os
from dataclasses import dataclass, field

import pytest

from pipeline.cluster import Cluster
from pipeline.config import DataSection, ExportSection, ModelSection, PipelineConfig
from pipeline.errors import DataError, StageError
from pipeline.stages import StageContext, StageResult
from pipeline.training.joint_process import train_in_child

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


def without_others(context):
    raise UnavailableError("somebody is gone")


def killed(context):
    os._exit(3)


def wrongly(context):
    raise KeyError("a mistake of ours")


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


def train(function, tmp_path):
    config = PipelineConfig(
        name="test",
        data=DataSection(source="idx"),
        model=ModelSection(preset="two_conv"),
        export=ExportSection(formats=("onnx",)),
    )
    screen = Screen()
    context = StageContext(config, {}, tmp_path, tmp_path, screen)
    job = Cluster(("127.0.0.1:2", NOBODY), 0)
    return screen, lambda: train_in_child(function, context, job)


def test_what_a_child_says_is_shown_and_what_it_gives_is_given(tmp_path):
    screen, call = train(well, tmp_path)
    assert call() == StageResult("all well", {"accuracy": 1.0})
    assert screen.said == [
        f"worker 1 of 2: joins {NOBODY}",
        ("training", 10),
        (7, "so far"),
        "a line",
        "end",
    ]


@pytest.mark.parametrize("function", [without_others, killed])
def test_a_lost_worker_is_told_in_one_line_with_what_to_do(function, tmp_path):
    _, call = train(function, tmp_path)
    with pytest.raises(StageError, match=rf"^train: worker 1 .* {NOBODY}\); start the same .*$"):
        call()


def test_an_error_of_the_training_stays_what_it_is(tmp_path):
    _, call = train(badly, tmp_path)
    with pytest.raises(DataError, match=r"^no images$"):
        call()


def test_a_mistake_of_the_program_is_shown_in_full(tmp_path):
    _, call = train(wrongly, tmp_path)
    with pytest.raises(RuntimeError, match="in wrongly\n"):
        call()
