"""Ctrl-C and SIGTERM, sent to a process of their own."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.plugins import ROOT

IN_A_CALLBACK = """
import time, weakref
from pipeline import interruption
from pipeline.interruption import Interrupted, interruptible

interruption.AGAIN_SECONDS = 0.2


class Thing:
    pass


def slow(reference):
    print("ready", flush=True)
    time.sleep(1)


try:
    with interruptible():
        thing = Thing()
        reference = weakref.ref(thing, slow)
        del thing
        for _ in range(300):
            time.sleep(0.1)
except Interrupted:
    print("ended", flush=True)
"""


WITHOUT_ALARM = "import signal; del signal.setitimer, signal.SIGALRM"


@pytest.mark.parametrize("system", ["", WITHOUT_ALARM], ids=["POSIX", "Windows"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_python_drops_in_a_callback_still_ends_the_run(number, system):
    process = subprocess.Popen(
        [sys.executable, "-c", system + IN_A_CALLBACK],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (out, err) == ("ended\n", "")


def test_ctrl_c_while_python_still_imports_what_signals_take_is_told_in_one_line(tmp_path):
    (tmp_path / "signal.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "run_pipeline.py", "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error  interrupted; the same command goes on from what is finished\n"
