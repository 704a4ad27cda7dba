"""Ctrl-C and SIGTERM, sent to a process of their own."""

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
        time.sleep(30)
except Interrupted:
    print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_python_drops_in_a_callback_still_ends_the_run(number):
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_CALLBACK],
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
