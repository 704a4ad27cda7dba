"""Children that end well, that crash and that hang."""

import sys
from uuid import uuid4

import pytest

from pipeline.doctor import children
from pipeline.doctor.children import Ended

WAITS = "import threading; threading.Event().wait()  # "


def has_a_child(words):
    """Code that waits for a child of its own, which waits; both have the words in their command."""
    code = f"{WAITS}{words}"
    return f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"


def is_deaf(words):
    return f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}{words}"


def run(code, seconds=20.0, **options):
    command = [sys.executable, "-c", code]
    return children.run(command, timeout_seconds=seconds, environment={"SAID": "hello"}, **options)


def test_what_a_child_says_is_kept_apart_and_it_has_the_variables():
    ended = run("import os, sys; print(os.environ['SAID']); sys.exit('no')")
    assert ended == Ended(1, "hello\n", "no\n")
    assert ended.how == "ended with exit code 1"


def test_a_crash_is_told_by_its_signal():
    assert run("import os; os.abort()").how == "was killed by SIGABRT"


@pytest.mark.parametrize("make", [has_a_child, is_deaf])
def test_a_child_that_takes_too_long_is_ended_with_all_that_it_started(make, is_gone, monkeypatch):
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.1)
    words = f"{make.__name__} {uuid4()}"
    ended = run(make(words), 0.3)
    assert (ended.is_late, ended.how) == (True, "did not end in time")
    assert is_gone(words)


def test_a_child_ends_when_waiting_for_it_is_interrupted(is_gone):
    words = str(uuid4())

    def interrupt(out):
        assert not is_gone(words, seconds=0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(has_a_child(words), while_waiting=interrupt)
    assert is_gone(words)


def test_a_child_is_asked_to_end_before_it_is_killed(tmp_path):
    file = tmp_path / "said"
    handler = f"lambda *a: (open({str(file)!r}, 'w').write('goodbye'), sys.exit())"
    ended = run(f"import signal, sys; signal.signal(signal.SIGTERM, {handler}); {WAITS}", 0.5)
    assert ended.is_late
    assert file.read_text() == "goodbye"
