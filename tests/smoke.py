"""One run of configs/smoke.yaml, which all test processes of a session share."""

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from pipeline.core.plugins import ROOT


def make(folder: Path) -> str:
    """What the run printed, and its exit code; made at the first call, waited for at others."""
    output = folder / "smoke.txt"
    with FileLock(folder / "smoke.lock"):
        if not output.exists():
            command = ["run_pipeline.py", "run", "-c", "configs/smoke.yaml", "--artifacts"]
            done = subprocess.run(
                [sys.executable, *command, str(artifacts(folder))],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            output.write_text(f"{done.stdout}exit code {done.returncode}\n", encoding="utf-8")
    return output.read_text(encoding="utf-8")


def artifacts(folder: Path) -> Path:
    return folder / "smoke-artifacts"


def folder_of(tmp_path_factory) -> Path:
    """The folder of all test processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


if __name__ == "__main__":
    make(Path(sys.argv[1]))
