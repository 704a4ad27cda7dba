"""Folders that cannot be written, disks that are full, and file systems that lack an ability."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from pipeline.core.plugins import ROOT
from pipeline.doctor import disk
from pipeline.doctor.disk import (
    ABILITIES,
    examine_abilities,
    examine_folder,
    examine_space,
    examine_temporary,
)

Usage = namedtuple("Usage", "total used free")
GIGABYTE = 10**9


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_folder_that_is_there_or_can_be_made_does_and_nothing_is_left(tmp_path):
    (tmp_path / "mine").write_text("x")
    for folder in (tmp_path, tmp_path / "deep" / "down"):
        (finding,) = examine_folder(folder)
        assert finding.level == "ok"
        assert ("to be made" in finding.found) == (folder != tmp_path)
    assert tree(tmp_path) == [str(tmp_path / "mine")]


def test_a_file_in_the_place_of_the_folder_is_a_failure(tmp_path):
    (tmp_path / "file").write_text("mine")
    (finding,) = examine_folder(tmp_path / "file" / "artifacts")
    assert (finding.level, finding.found) == (
        "fail",
        f"{tmp_path / 'file'} is a file, not a folder",
    )
    assert finding.remedy.endswith("run_pipeline.py --artifacts FOLDER")


@pytest.mark.parametrize("below", ["", "deep/down"])
def test_links_that_form_a_loop_are_a_failure(tmp_path, below):
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    (finding,) = examine_folder(tmp_path / "one" / below)
    assert finding.level == "fail"
    assert finding.found == f"{tmp_path / 'one' / below}: its links lead round in a circle"
    (space,) = examine_space(tmp_path / "one" / below)
    assert " free, " in space.found


def test_the_program_s_own_folder_is_refused():
    (finding,) = examine_folder(ROOT)
    assert finding.level == "fail"
    assert "is the program's own folder" in finding.found


def test_a_folder_that_cannot_be_written_is_a_failure_with_the_system_s_words():
    (finding,) = examine_folder(Path("/proc/artifacts"))
    assert finding.level == "fail"
    assert finding.found == "/proc cannot be written: No such file or directory"
    assert finding.remedy.startswith("ls -ld /proc shows whose it is; ")


def test_a_stage_that_lies_on_another_disk_is_a_failure(tmp_path):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    (tmp_path / "train").symlink_to(elsewhere)
    (finding,) = examine_folder(tmp_path)
    assert finding.level == "fail"
    assert finding.found.startswith(f"{tmp_path / 'train'} is on another disk")


def test_a_stage_that_cannot_be_written_is_a_failure(tmp_path, monkeypatch):
    folder = tmp_path / "my artifacts"
    (folder / "train").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "train")
    (finding,) = examine_folder(folder)
    assert finding.found == f"{folder / 'train'} cannot be written"
    assert finding.remedy == f"chmod u+w '{folder / 'train'}'"


@pytest.mark.parametrize(
    ("free", "level", "words"),
    [
        (3 * GIGABYTE, "ok", "3.0 GB free, "),
        (GIGABYTE, "warn", "1.0 GB free, ext4; a run may take 2 GB"),
        (GIGABYTE // 10, "fail", "0.1 GB free, ext4; too little for a run"),
    ],
)
def test_free_space_is_told_and_judged(tmp_path, monkeypatch, free, level, words):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, free))
    monkeypatch.setattr(disk, "file_system_type", lambda path: "ext4")
    (finding,) = examine_space(tmp_path / "later")
    assert finding.level == level
    assert finding.found.startswith(words)


def test_a_disk_with_room_for_few_files_is_told_of(tmp_path, monkeypatch):
    class Counts:
        f_files, f_favail = 10**6, 42

    monkeypatch.setattr(os, "statvfs", lambda path: Counts)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    (finding,) = examine_space(tmp_path)
    assert finding.level == "warn"
    assert "but room for 42 more files only" in finding.found


def test_a_disk_in_memory_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**12))
    monkeypatch.setattr(disk, "file_system_type", lambda path: "tmpfs")
    (finding,) = examine_space(tmp_path)
    assert (finding.level, finding.found) == ("warn", "1000.0 GB free, tmpfs: gone after a restart")


@pytest.mark.parametrize(
    ("place", "level", "words"),
    [
        ("/proc", "fail", "/proc cannot be written: "),
        ("/proc/nowhere", "fail", "no usable folder: "),
    ],
)
def test_a_place_for_temporary_files_must_be_usable(monkeypatch, place, level, words):
    monkeypatch.setattr(tempfile, "tempdir", place)
    (finding,) = examine_temporary()
    assert finding.level == level
    assert finding.found.startswith(words)
    assert finding.remedy.startswith("export TMPDIR=")


def test_little_room_for_temporary_files_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (finding,) = examine_temporary()
    assert finding.level == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**8))
    (finding,) = examine_temporary()
    assert finding.found == f"{tmp_path}; 0.1 GB free, 0.5 GB may be needed"
    assert tree(tmp_path) == []


def test_a_common_disk_can_do_all_and_nothing_is_left(tmp_path):
    (finding,) = examine_abilities(tmp_path / "later")
    assert (finding.level, finding.found) == ("ok", "rename, fsync, lock and links work")
    assert tree(tmp_path) == []


def test_a_lock_that_keeps_nobody_out_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: None)  # here, not in the rival
    (finding,) = examine_abilities(tmp_path)
    assert (finding.name, finding.level) == ("lock", "warn")
    assert "a second process was not kept out: both got it" in finding.found
    assert finding.remedy.startswith("name one on a local disk: ")


@pytest.mark.parametrize("name", ["rename", "symlink_to"])
def test_an_ability_that_is_lacking_is_named_and_the_others_are_tried(tmp_path, monkeypatch, name):
    def refuse(*arguments, **options):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, name, refuse)
    (finding,) = examine_abilities(tmp_path)
    assert finding.name == {"rename": "rename", "symlink_to": "links"}[name]
    assert finding.found == f"does not work in {tmp_path}: Operation not supported"
    assert tree(tmp_path) == []


def test_a_folder_that_cannot_be_synced_is_a_failure(tmp_path, monkeypatch):
    def refuse(path):
        if path.is_dir():
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(disk, "sync", refuse)
    (finding,) = examine_abilities(tmp_path)
    assert (finding.name, finding.level) == ("fsync", "fail")


def test_a_file_system_that_knows_no_locks_is_told_of(tmp_path):
    def refuse(folder):
        raise NotImplementedError("FileSystem does not appear to support flock")

    (finding,) = examine_abilities(tmp_path, {**ABILITIES, "lock": refuse})
    assert "does not appear to support flock" in finding.found


def test_a_disk_that_is_full_is_told_of_and_nothing_is_left(tmp_path):
    code = (
        "import resource\nfrom pathlib import Path\n"
        "from pipeline.doctor.disk import examine_abilities\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        f"for f in examine_abilities(Path({str(tmp_path)!r})): print(f.name, f.found, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [line.split("|")[0] for line in done.stdout.splitlines()]
    assert {"rename", "fsync"} <= set(names)
    assert "File too large" in done.stdout
    assert tree(tmp_path) == []
