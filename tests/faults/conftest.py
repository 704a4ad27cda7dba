"""What tests of faults share, and the table of figures that ends `make faults`."""

import os
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.workflow import execute
from tests.workflow.test_execute import Project

MEMORY = Path("/dev/shm")
MEMORY_OR_DISK = MEMORY if os.access(MEMORY, os.W_OK) else None


@pytest.fixture
def folder():
    """An empty folder in memory if there is one: whether a disk is quick is not the question."""
    with tempfile.TemporaryDirectory(dir=MEMORY_OR_DISK, prefix="evenkeel-faults-") as path:
        yield Path(path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The miniature pipeline in a folder of its own."""
    project = Project(tmp_path / "artifacts")
    monkeypatch.setattr(execute, "importlib", SimpleNamespace(import_module=project.load))
    monkeypatch.setattr(execute.environment, "describe", dict)  # asks Git, which takes its time
    return project


def pytest_terminal_summary(terminalreporter):
    """Prints what was done: each fault, and how often it fired in tests that passed."""
    fired = Counter()
    for report in terminalreporter.getreports("passed"):
        for what, count in report.user_properties:
            fired[what] += count
    failed = sum(len(terminalreporter.getreports(how)) for how in ("failed", "error"))
    if not fired:
        return
    found = f"{failed} tests FAILED" if failed else "lost, corrupt or different: 0"
    terminalreporter.section(f"faults that fired; {found}")
    for what, count in fired.items():
        terminalreporter.write_line(f"{count:>7,}  {what}")
