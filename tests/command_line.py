"""Calls the program as a user does."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

import pytest

from pipeline.cli import main
from pipeline.core.plugins import ROOT
from pipeline.core.terminal import create_console


def console_of(width=120):
    """A console of the program's own, which writes to its `file`."""
    console = create_console()
    console.file, console.width = io.StringIO(), width
    return console


def call(*arguments):
    """Its exit code and what it printed; it has no terminal to ask on."""
    return subprocess.run(
        [sys.executable, "run_pipeline.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def call_here(*arguments):
    """As call(), but in this process, where libraries need not be loaded anew."""
    command, out, err = ["run_pipeline.py", *map(str, arguments)], io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", command),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main.main()
    code = ended.value.code or 0
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
