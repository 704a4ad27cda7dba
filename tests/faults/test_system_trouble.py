"""Full disks, limits, folders of other users and odd paths, met by the whole pipeline."""

import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.core import child_process
from tests.faults import harness
from tests.faults.miniature import BEGUN

NOBODY = 65534
SIZES_KIB = (4, 40, 100, 200, 300)
INODES = (4, 8, 13, 20, 30, 45)
LARGEST_FILES = (0, 100, 1000, 20_000)
OPEN_FILES = range(3, 12)
NAMES = {
    "spaces": "a folder of mine",
    "quotes": 'it\'s "quoted" $HOME `x`',
    "a line break": "two\nlines",
    "no UTF-8": os.fsdecode(b"caf\xe9"),
    "a picture": "🛶 ключ",
    "markup": "[red]x[/red] {0} %s",
    "a dash": "-x",
    "250 bytes": "n" * 250,
}


@pytest.fixture(scope="module")
def server():
    with harness.serving() as server:
        yield server


@pytest.fixture(scope="module")
def reference(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    assert server.run("run", "--artifacts", folder).code == 0
    return harness.shown(folder)


@contextmanager
def mounted(folder, options):
    """Gives a file system in memory at that folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def need_root():
    if os.geteuid():
        pytest.skip("only root can become another user")
    closed = [
        place
        for place in Path(__file__).resolve().parents
        if not place.stat().st_mode & stat.S_IXOTH
    ]
    if closed:
        pytest.skip(f"another user cannot read the project: {closed[0]} is closed to others")


def assert_refused_before_any_stage(ended, place):
    harness.assert_told(ended, place, "")
    assert ended.stage == BEGUN


@pytest.mark.parametrize(
    ("small", "large"),
    [
        *((f"size={size}k", "size=8m") for size in SIZES_KIB),
        *((f"nr_inodes={count}", "nr_inodes=10000") for count in INODES),
    ],
)
def test_a_disk_that_fills_costs_nothing_that_was_finished(
    server, folder, reference, record_property, small, large
):
    disk = folder / "disk"
    with mounted(disk, small):
        artifacts = disk / "artifacts"
        ended = server.run("run", "--artifacts", artifacts)
        harness.assert_told(ended, disk, "Make room on its disk")
        seen = harness.shown(artifacts)
        harness.assert_a_part(seen, reference)
        assert harness.stages_in(seen) == ended.published
        remount(disk, large)
        again = server.run("run", "--artifacts", artifacts)
        harness.assert_recovered(artifacts, again, reference)
    record_property(f"a full disk: {small}", 1)


@pytest.mark.parametrize("size", LARGEST_FILES)
def test_a_limit_on_the_size_of_files_is_told_with_its_remedy(
    server, folder, reference, record_property, size
):
    ended = server.run("run", "--artifacts", folder, limits={"RLIMIT_FSIZE": size})
    harness.assert_told(ended, folder, "ulimit -f")
    assert harness.shown(folder) == {}
    harness.assert_recovered(folder, server.run("run", "--artifacts", folder), reference)
    record_property(f"writes cut short at {size} bytes", 1)


def test_a_limit_on_open_files_is_told_or_kept_to(server, folder, reference, record_property):
    codes = []
    for count in OPEN_FILES:
        ended = server.run("run", "--artifacts", folder, limits={"RLIMIT_NOFILE": count})
        codes.append(ended.code)
        if ended.code:
            harness.assert_told(ended, "", "")
            assert "open files" in ended.err
        harness.assert_recovered(folder, server.run("run", "--artifacts", folder), reference)
        shutil.rmtree(folder / "verify")
    assert codes[0] > 0 == codes[-1]
    record_property("too few open files allowed", sum(code > 0 for code in codes))


def test_a_disk_that_can_only_be_read_is_refused_before_any_stage(server, folder):
    disk = folder / "disk"
    with mounted(disk, "size=8m"):
        server.run("run", "--artifacts", disk, "--to", "ingest")
        remount(disk, "ro")
        assert_refused_before_any_stage(server.run("run", "--artifacts", disk), disk)
        assert server.run("status", "--artifacts", disk).code == 0


@pytest.mark.parametrize("foreign", [".", ".staging", "train"])
def test_a_folder_of_another_user_is_refused_before_any_stage(server, folder, foreign):
    need_root()
    server.run("run", "--artifacts", folder, "--to", "train")
    shutil.rmtree(folder / "train")
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        os.chown(place, NOBODY, NOBODY)
    (folder / foreign).mkdir(exist_ok=True)
    os.chown(folder / foreign, 0, 0)
    (folder / foreign).chmod(0o755)
    ended = server.run("run", "--artifacts", folder, user=NOBODY)
    assert_refused_before_any_stage(ended, folder)


def loop(path):
    path.symlink_to(path.name)


def dangling(path):
    path.symlink_to("nowhere/at all")


def file(path):
    path.write_text("mine")


def below_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("mine")


@pytest.mark.parametrize("make", [loop, dangling, file, below_a_file])
def test_a_path_that_is_no_folder_is_refused_before_any_stage(server, folder, make):
    path = folder / "inner" / "artifacts"
    path.parent.mkdir()
    make(path)
    ended = server.run("run", "--artifacts", path)
    assert_refused_before_any_stage(ended, folder)


def test_a_name_that_is_too_long_is_refused_before_any_stage(server, folder):
    ended = server.run("run", "--artifacts", folder / ("n" * 256))
    assert_refused_before_any_stage(ended, folder)
    assert "shorter path" in ended.err


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(server, folder, reference, name):
    artifacts = folder / NAMES[name]
    ended = server.run("run", f"--artifacts={artifacts}", "--to", "train")
    assert (ended.code, ended.err) == (0, "")
    harness.assert_recovered(artifacts, server.run("run", "--artifacts", artifacts), reference)
    for command in ("runs", "show", "status"):
        ended = server.run(command, "--artifacts", artifacts)
        assert (ended.code, ended.err) == (0, ""), command


def test_a_full_folder_for_temporary_files_is_named(folder, monkeypatch):
    disk = folder / "disk"
    with mounted(disk, "size=4k"):
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(OSError, match="No space left on device") as caught:
            child_process.call("builtins:iter", ["x"] * 10_000, timeout_seconds=5)
    assert caught.value.filename == str(disk)
