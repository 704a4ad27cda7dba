"""What every test file may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from pipeline.core.plugins import ROOT
from pipeline.doctor.packages import read_others

# Machines that run several test processes at once are too uneven for a deadline an example.
settings.register_profile("evenkeel", deadline=None)
settings.load_profile("evenkeel")


def pytest_runtest_setup(item) -> None:
    asks = item.get_closest_marker("tflite_micro")
    if asks and "tflite-micro" in {pin.name for pin in read_others()}:
        pytest.skip("TensorFlow Lite Micro is not made for this system")


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory) -> Path:
    """The artifacts folder of one run of configs/smoke.yaml; for reading only.

    All test processes of a session share it: the first that asks makes it, the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    artifacts = folder / "smoke-artifacts"
    output = folder / "smoke.txt"
    with FileLock(folder / "smoke.lock"):
        if not output.exists():
            command = ["run_pipeline.py", "run", "-c", "configs/smoke.yaml", "--artifacts"]
            done = subprocess.run(
                [sys.executable, *command, str(artifacts)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            output.write_text(f"{done.stdout}exit code {done.returncode}\n", encoding="utf-8")
    text = output.read_text(encoding="utf-8")
    assert text.endswith("exit code 0\n"), text
    return artifacts
