"""Ctrl-C and SIGTERM, sent to a process of their own."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.core.plugins import ROOT
from pipeline.core.signals import interruptible

IN_A_CALLBACK = """
import time, weakref
from pipeline.core import signals as interruption
from pipeline.core.signals import Interrupted, interruptible

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
    assert (out, err) == ("ended\n", "stopping …\n")


# hashlib lets other threads of Python run meanwhile, as TensorFlow does, and heeds no signal.
IN_A_NATIVE_CALL = """
import hashlib
from pipeline.core import signals as interruption
from pipeline.core.progress import quiet_libraries

interruption.ONCE_MORE_SECONDS = 0.3
with interruption.interruptible(), quiet_libraries():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)
"""


def test_in_a_long_native_call_it_is_said_at_once_and_a_later_ctrl_c_ends_the_program():
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_NATIVE_CALL],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        at_first = processor_seconds(process)
        while processor_seconds(process) < at_first + 0.1:  # until it is within the call
            time.sleep(0.01)
        for _ in range(2):  # both at once count as one: some programs pass a Ctrl-C on
            process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopping …\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    said = "error  ended at once; the same command goes on from what is finished\n"
    assert (process.returncode, err) == (130, said)


def processor_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


def test_what_waits_for_signals_is_gone_when_the_block_is_left():
    before = in_use()
    with interruptible():
        pass
    assert in_use() == before


def in_use():
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    return descriptors, threading.active_count(), signal.set_wakeup_fd(-1)


# Read by every Python that starts with its folder on PYTHONPATH.
TELLS_OF_ITS_END = "import atexit\natexit.register(print, 'destructors')\n"


@pytest.mark.parametrize(("argument", "code"), [("nowhere.yaml", 2), ("--help", 0)])
def test_what_ended_early_leaves_without_destructors(tmp_path, argument, code):
    (tmp_path / "sitecustomize.py").write_text(TELLS_OF_ITS_END)
    done = subprocess.run(
        [sys.executable, "run_pipeline.py", argument],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert done.stdout.endswith("destructors\n") == (code == 0)
    assert bool(done.stderr) == bool(code)


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
