"""Child processes on POSIX systems, and what Windows is asked for in their place."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pipeline.core import processes
from pipeline.core.plugins import ROOT


@pytest.fixture
def windows(monkeypatch):
    """What Windows is asked for; it is not there."""
    calls = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append(command))
    for name in ("killpg", "getppid"):
        monkeypatch.delattr(os, name)
    return calls


def start():
    return subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, **processes.own_group()
    )


def test_a_child_and_what_it_started_end_together():
    command = "import subprocess; subprocess.run(['sleep', '60'])"
    child = subprocess.Popen([sys.executable, "-c", command], **processes.own_group())
    while not (started := psutil.Process(child.pid).children()):
        time.sleep(0.01)
    processes.kill_group(child)
    assert processes.death(child.wait()) == "was killed by SIGKILL"
    psutil.wait_procs(started, timeout=10)
    assert not any(process.is_running() for process in started)
    processes.kill_group(child)  # once more does no harm


def test_windows_ends_the_tree_of_a_child(windows, monkeypatch):
    assert processes.own_group() == {"creationflags": 0x200}
    monkeypatch.setattr(processes, "own_group", dict)
    child = start()
    processes.kill_group(child)
    assert windows == [["taskkill", "/F", "/T", "/PID", str(child.pid)]]
    child.communicate(b"\n")
    processes.kill_group(child)
    assert len(windows) == 1


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, ""),
        (1, ""),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (0xC0000005, "crashed (0xc0000005)"),  # an access violation on Windows
    ],
)
def test_what_ended_a_process_is_said(exit_code, words):
    assert processes.death(exit_code) == words


def test_a_child_knows_whether_its_parent_is_there():
    assert processes.is_there(os.getppid())
    assert not processes.is_there(os.getpid())


def test_on_windows_the_parent_may_have_started_it_by_way_of_another(windows):
    child = start_here()
    assert processes.is_there(child.pid)
    child.communicate(b"\n")
    assert not processes.is_there(child.pid)


def start_here():
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_system_that_gives_no_process_a_part_has_all_its_cores(monkeypatch):
    assert processes.cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processes.cores() == 6


WITHOUT_POSIX = """
import importlib, os, pkgutil, signal, sys
import filelock  # it has Windows' own locks there
posix = ("fcntl", "resource", "pwd", "grp", "termios")
heavy = ("tensorflow", "keras", "sklearn", "scipy", "matplotlib", "onnx", "grpc")
sys.modules.update(dict.fromkeys((*posix, *heavy)))
for name in {os_names}:
    delattr(os, name)
for name in ("SIGALRM", "SIGKILL", "SIGHUP", "setitimer", "ITIMER_REAL"):
    delattr(signal, name)
import export, pipeline
imported = 0
for package in (pipeline, export):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=print):
        try:
            importlib.import_module(found.name)
            imported += 1
        except ModuleNotFoundError as error:
            if error.name.partition(".")[0] not in heavy:
                raise
assert imported > 150, imported
from pipeline.cli import main as cli
sys.argv = ["run_pipeline.py", "run", "--dry-run", "--artifacts", sys.argv[1]]
cli.main()
"""
OF_POSIX = (
    "killpg", "getppid", "sched_getaffinity", "preadv", "pread", "statvfs", "fork", "getuid",
    "geteuid", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "mkfifo", "setsid", "nice",
)  # fmt: skip


def test_nothing_that_posix_alone_has_is_needed_to_begin(tmp_path):
    """Each module that does without TensorFlow is imported, and a run is planned."""
    code = WITHOUT_POSIX.format(os_names=OF_POSIX)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "artifacts")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ingest" in done.stdout
