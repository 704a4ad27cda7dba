"""How long work shows itself."""

import io

from rich.console import Console

from pipeline.core.progress import LogProgress, progress_on
from tests.command_line import console_of


def test_a_log_line_counts_in_thousands():
    console = console_of(40)
    with LogProgress(console, interval_seconds=0).task("train files", 160_000) as task:
        task.advance(32_257, "accuracy 0.991")
    assert console.file.getvalue() == "  train files 32,257/160,000  accuracy 0.991\n"


def test_a_log_says_nothing_before_its_interval_is_over():
    console = console_of()
    with LogProgress(console, interval_seconds=3600).task("train files", 2) as task:
        task.advance()
    assert console.file.getvalue() == ""


def test_a_bar_counts_in_thousands():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with progress_on(console).task("train files", 160_000) as task:
        task.advance(32_257, "accuracy 0.991")
    shown = console.file.getvalue()
    assert "32,257/160,000" in shown
    assert "accuracy 0.991" in shown
