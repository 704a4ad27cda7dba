"""How long work shows itself: a bar on a terminal, plain lines in a log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    def advance(self, steps: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """What a stage sees of the terminal."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        """Shows work of `total` steps while the block runs."""
        ...

    def line(self, text: str) -> None:
        """Prints one line above the bars."""
        ...
