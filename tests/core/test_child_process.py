import subprocess
import sys
import time

import pytest

from pipeline.core import child_process
from pipeline.core.child_process import ROOT, call


@pytest.fixture(autouse=True)
def _children_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))


def test_a_function_gives_its_values_in_order():
    outcome = call("builtins:iter", [3, {"a": None}, "x"], timeout_seconds=60)
    assert outcome.values == (3, {"a": None}, "x")
    assert outcome.failure == ""


def test_an_argument_larger_than_a_pipe_reaches_a_child_that_is_slow_to_read_it(monkeypatch):
    monkeypatch.setattr(child_process, "POLL_SECONDS", 0.001)
    long = "x" * 300_000
    assert call("builtins:iter", [long], timeout_seconds=60).values == (long,)


def test_what_a_library_prints_is_no_answer():
    outcome = call("children:noisy", {"answer": 6}, timeout_seconds=60)
    assert outcome.values == (7,)


def test_an_exception_is_told_by_its_last_line():
    outcome = call("math:sqrt", "four", timeout_seconds=60)
    assert outcome.values == ()
    assert outcome.failure == "TypeError: must be real number, not str"


def test_a_killing_signal_is_named():
    outcome = call("signal:raise_signal", 9, timeout_seconds=60)
    assert outcome.failure == "was killed by SIGKILL"


def test_what_was_yielded_before_a_crash_is_kept():
    outcome = call("children:yields_then_dies", [1, 2], timeout_seconds=60)
    assert outcome.values == (1, 2)
    assert outcome.failure == "was killed by SIGSEGV"


def test_a_hang_ends_at_the_time_limit():
    start = time.monotonic()
    outcome = call("time:sleep", 60, timeout_seconds=0.5)
    assert outcome.failure == "took longer than 0.5 s"
    assert time.monotonic() - start < 20


def test_a_cancelled_child_ends():
    outcome = call("time:sleep", 60, timeout_seconds=60, is_cancelled=lambda: True)
    assert outcome.failure == "was cancelled"


def test_what_a_child_started_is_killed_with_it():
    odd_time = "61.625"
    start = time.monotonic()
    outcome = call("children:starts_a_sleeper", odd_time, timeout_seconds=3)
    assert outcome.values == ("started",)
    assert time.monotonic() - start < 30
    time.sleep(0.1)
    assert odd_time not in subprocess.check_output(["ps", "-eo", "args"], text=True)


def wait_until(claim, seconds):
    deadline = time.monotonic() + seconds
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.05)
    return claim()


def is_running(process_id):
    state = subprocess.run(["ps", "-o", "stat=", "-p", process_id], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path):
    file = tmp_path / "child"
    code = (
        "from pipeline.core.child_process import call; "
        f"call('children:writes_its_id_and_sleeps', {str(file)!r}, timeout_seconds=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    assert wait_until(lambda: file.exists() and file.read_text().endswith("\n"), 60)
    child = file.read_text().strip()
    assert is_running(child)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not is_running(child), 10)
