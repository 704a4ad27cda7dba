"""How long work shows itself: a bar on a terminal, plain lines in a log."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import Task as Bar


class Task(Protocol):
    """Work that is being shown."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Counts steps as done; the note says how it stands, such as `accuracy 0.991`."""


class Progress(Protocol):
    """What a stage sees of the terminal."""

    def task(self, description: str, total: int) -> AbstractContextManager[Task]:
        """Shows work of `total` steps while the block runs."""

    def line(self, text: str) -> None:
        """Prints one line above the bars."""


class _BarTask:
    def __init__(self, bars: "Bars", bar: "Bar") -> None:
        self._bars, self._id = bars, bar.id

    def advance(self, steps: int = 1, note: str = "") -> None:
        if note:
            self._bars.update(self._id, note=note)
        self._bars.advance(self._id, steps)


class TerminalProgress:
    """Bars that live while the work does."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("  {task.description:<12}"),
            BarColumn(bar_width=28),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Bars(*columns, console=self._console, transient=True) as bars:
            identifier = bars.add_task(description, total=total, note="")
            yield _BarTask(bars, bars.tasks[bars.task_ids.index(identifier)])

    def line(self, text: str) -> None:
        self._console.print(f"  [dim]{escape(text)}", highlight=False)


class _LogTask:
    """Says a line at most every `interval_seconds`."""

    def __init__(self, progress: "LogProgress", description: str, total: int) -> None:
        self._progress, self._description, self._total = progress, description, total
        self._done, self._last, self._note = 0, monotonic(), ""

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        self._note = note or self._note
        if monotonic() - self._last >= self._progress.interval_seconds:
            self._last = monotonic()
            text = f"{self._description} {self._done:,}/{self._total:,}  {self._note}"
            self._progress.line(text.rstrip())


class LogProgress:
    """Plain lines, for output that goes to a file or a pipe."""

    def __init__(self, console: Console, interval_seconds: float = 10.0) -> None:
        self._console, self.interval_seconds = console, interval_seconds

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        yield _LogTask(self, description, total)

    def line(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False, highlight=False)


def progress_on(console: Console) -> Progress:
    """Bars if the console is a terminal, else lines."""
    return TerminalProgress(console) if console.is_terminal else LogProgress(console)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps native libraries' start-up lines off the terminal."""
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
