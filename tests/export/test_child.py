import subprocess
import time
from pathlib import Path

import pytest

from export.child import call


@pytest.fixture(autouse=True)
def _children_are_importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_a_function_gives_its_values_in_order():
    outcome = call("builtins:iter", [3, {"a": None}, "x"], timeout_seconds=60)
    assert outcome.values == (3, {"a": None}, "x")
    assert outcome.failure == ""


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
