"""Calls the program as a user does."""

import subprocess
import sys

from pipeline.plugins import ROOT


def call(*arguments):
    """Its exit code and what it printed; it has no terminal to ask on."""
    return subprocess.run(
        [sys.executable, "run_pipeline.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
