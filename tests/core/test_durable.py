"""What each system is asked for so that the disk has a file; Windows and Macs are made up."""

import fcntl
import os
import sys

import pytest

from pipeline.core.durable import sync


@pytest.fixture
def asked(monkeypatch):
    """What the system is asked for: the flags of each open(), and each call that waits."""
    calls, opened = [], os.open

    def note_open(path, flags):
        calls.append({os.O_RDONLY: "read", os.O_RDWR: "write"}[flags])
        return opened(path, flags)

    def note_fcntl(descriptor, command):
        calls.append(command)

    monkeypatch.setattr(os, "open", note_open)
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", "full", raising=False)
    monkeypatch.setattr(fcntl, "fcntl", note_fcntl)
    return calls


SYSTEMS = {
    "linux": (["read", "fsync"], ["read", "fsync"]),
    "darwin": (["read", "full"], ["read", "full"]),
    "win32": (["write", "fsync"], []),
}


@pytest.mark.parametrize("platform", SYSTEMS)
def test_each_system_waits_in_its_way(tmp_path, monkeypatch, asked, platform):
    file = tmp_path / "file"
    file.write_bytes(b"x")
    monkeypatch.setattr(sys, "platform", platform)
    of_file, of_folder = SYSTEMS[platform]
    sync(file)
    sync(tmp_path)
    assert asked == of_file + of_folder


def test_a_mac_whose_file_system_cannot_write_through_waits_as_others_do(
    tmp_path, monkeypatch, asked
):
    def refuse(descriptor, command):
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(sys, "platform", "darwin")
    sync(tmp_path)
    assert asked == ["read", "fsync"]
