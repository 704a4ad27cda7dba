"""A miniature run to share, in memory where there is such a folder: the disk is no question."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from rich.console import Console

from pipeline.core.progress import LogProgress
from pipeline.maintenance.integrity import check
from pipeline.remote.pull import pull
from pipeline.remote.push import push
from pipeline.remote.remote_folder import open_remote_folder
from pipeline.remote.select import Choice
from pipeline.store.store import ArtifactStore
from pipeline.workflow import execute, runs
from pipeline.workflow.plan import plan
from pipeline.workflow.selection import Selection
from tests.workflow.test_execute import Project

MEMORY = Path("/dev/shm")
QUIET = LogProgress(Console(quiet=True))
NO_SEARCH = "tune.enabled=false"


class Sharing:
    """A folder with a run of the miniature pipeline, and what is done with it."""

    def __init__(self, folder):
        self.folder = folder
        self.project = Project(folder / "near")
        self.near = self.project.store

    def run(self, *overrides, **selection):
        """One more run, recorded; gives it."""
        self.project.run(NO_SEARCH, *overrides, **selection)
        config = self.project.config(NO_SEARCH, *overrides)
        steps = plan(config, self.near, Selection(**selection))
        return runs.record_run(self.near, config, steps, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    def push(self, url, choice=Choice(), **options):  # noqa: B008
        return push(self.near, open_remote_folder(str(url)), choice, QUIET, **options)

    def pull(self, url, choice=Choice(), into="pulled", **options):  # noqa: B008
        store = ArtifactStore(self.folder / into)
        return pull(store, open_remote_folder(str(url)), choice, QUIET, **options), store

    def problems(self, store):
        return check(store, QUIET).problems


@pytest.fixture
def folder():
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="evenkeel-sharing-") as path:
        yield Path(path)


@pytest.fixture
def sharing(folder, monkeypatch):
    sharing = Sharing(folder)
    monkeypatch.setattr(execute, "importlib", SimpleNamespace(import_module=sharing.project.load))
    monkeypatch.setattr(execute.environment, "describe", dict)  # asks Git, which takes its time
    sharing.run()
    return sharing


@pytest.fixture
def memory():
    """The URL of an empty folder in fsspec's memory."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield "memory://bucket/evenkeel"
    files.store.clear()
    files.pseudo_dirs[:] = [""]
