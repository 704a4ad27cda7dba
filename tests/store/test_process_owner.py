"""An owner has ended when no process of its number and its start is left."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil  # before a test says that this is another system
import pytest

from pipeline.store import process_owner
from pipeline.store.process_owner import owner_in, this_process

real_kill = os.kill


def test_this_process_has_not_ended():
    assert this_process().process == os.getpid()
    assert not this_process().has_ended


def test_a_later_process_of_the_same_number_is_another():
    assert replace(this_process(), started=this_process().started - 1).has_ended


def test_a_process_that_is_gone_or_only_waits_for_its_parent_has_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    child_as_owner = replace(this_process(), process=child.pid, started=ticks)
    assert not child_as_owner.has_ended
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child_as_owner.has_ended
    child.wait()
    assert child_as_owner.has_ended


@pytest.fixture
def without_proc(monkeypatch, tmp_path):
    """As on a Mac and on Windows."""
    monkeypatch.setattr(process_owner, "PROCESSES", tmp_path / "none")


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.usefixtures("without_proc")
def test_a_system_without_proc_tells_who_has_ended(monkeypatch, platform):
    kills = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(psutil, "pid_exists", lambda number: Path(f"/proc/{number}").exists())
    monkeypatch.setattr(os, "kill", lambda *call: kills.append(call) or real_kill(*call))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = replace(this_process(), process=child.pid, started=process_owner._started(child.pid))
    assert not this_process().has_ended
    assert not began.has_ended
    assert replace(began, started=began.started - 1).has_ended
    child.communicate(b"\n")
    assert not psutil.pid_exists(child.pid)
    assert began.has_ended
    assert not kills or platform == "darwin"  # on Windows it would have ended the process


def test_of_another_machine_nothing_is_certain():
    assert not replace(this_process(), machine="0" * 8, process=1, started=1).has_ended


def test_an_owner_is_read_from_the_name_that_it_was_written_in():
    name = f"train-0123456789abcdef.{this_process()}.ab12cd34.replaced"
    assert owner_in(name) == this_process()
    assert owner_in("train-12345678-1234-5678") is None


@pytest.mark.parametrize("gone", ["machine-id", "stat"])
def test_a_process_that_cannot_be_told_now_gets_no_wrong_name(monkeypatch, gone):
    """Its folders would never be swept, or be swept while it is at work."""
    read_text = Path.read_text

    def fail(path, **options):
        if path.name == gone:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(OSError, match="Too many open files"):
        this_process()
