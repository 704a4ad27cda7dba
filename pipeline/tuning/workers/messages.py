"""What chief and worker say to each other beside KerasTuner's own messages.

Those have no place for why a trial failed, and round scores to 32 bits, so both sides add a text
to the values of the trial that goes between them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.core.errors import ConfigError, DataError, PipelineError, StageError

TASK, ANSWER = "evenkeel/task", "evenkeel/answer"
KINDS = {kind.__name__: kind for kind in (ConfigError, DataError, StageError)}


@dataclass(frozen=True)
class Task:
    """A trial as its worker needs to know it; precision and XLA are the chief's choice for all."""

    values: Mapping[str, Any]
    epochs: int
    policy: str
    jit_compile: bool


@dataclass(frozen=True)
class Answer:
    """How a trial ended.

    Attributes:
        score: of the objective, if it succeeded.
        failure: why it failed for good, as a training that diverges does.
        trouble: why it failed this time, in other words than the pipeline's own.
        hopeless: the kind of an error that would fail every trial alike, and its text.
    """

    score: float | None = None
    failure: str = ""
    trouble: str = ""
    hopeless: tuple[str, str] | None = None

    def error(self) -> PipelineError:
        """The error that would fail every trial alike."""
        assert self.hopeless is not None
        kind, text = self.hopeless
        return KINDS.get(kind, StageError)(text)


def write(message: Task | Answer) -> str:
    return json.dumps(asdict(message))


def read_task(text: str) -> Task:
    return Task(**json.loads(text))


def read_answer(text: str) -> Answer:
    return Answer(**json.loads(text))
