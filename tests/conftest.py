"""What every test file may use."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.core.plugins import ROOT
from pipeline.doctor.packages import read_others
from tests import smoke

# Machines that run several test processes at once are too uneven for a deadline an example.
settings.register_profile("evenkeel", deadline=None)
settings.load_profile("evenkeel")


def pytest_runtest_setup(item) -> None:
    asks = item.get_closest_marker("tflite_micro")
    if asks and "tflite-micro" in {pin.name for pin in read_others()}:
        pytest.skip("TensorFlow Lite Micro is not made for this system")


def pytest_collection_modifyitems(items) -> None:
    """What asks for the smoke run comes last: it is being made meanwhile."""
    items.sort(key=_asks_for_smoke)


def _asks_for_smoke(item) -> bool:
    return "smoke_run" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _smoke_run_in_the_background(request, tmp_path_factory):
    if not any(map(_asks_for_smoke, request.session.items)):
        yield
        return
    command = [sys.executable, "-m", smoke.__name__, str(smoke.folder_of(tmp_path_factory))]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True
    ) as making:
        yield
        if making.poll() is None:
            os.killpg(making.pid, signal.SIGTERM)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory) -> Path:
    """The artifacts folder of one run of configs/smoke.yaml; for reading only."""
    folder = smoke.folder_of(tmp_path_factory)
    text = smoke.make(folder)
    assert text.endswith("exit code 0\n"), text
    return smoke.artifacts(folder)
