"""What tests of faults share, and the table of figures that ends `make faults`."""

import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def folder():
    """An empty folder in memory if there is one: whether a disk is quick is not the question."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="evenkeel-faults-") as path:
        yield Path(path)


def pytest_terminal_summary(terminalreporter):
    """Prints what was done: each fault, and how often it fired in tests that passed."""
    reports = terminalreporter.getreports("passed")
    figures = [figure for report in reports for figure in report.user_properties]
    if figures:
        terminalreporter.section("faults that fired; lost, corrupt or different: 0")
        for what, count in figures:
            terminalreporter.write_line(f"{count:>7,}  {what}")
