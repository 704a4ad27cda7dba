"""A push or a pull that is killed at any step leaves nothing half that counts, and goes on.

Each try is a forked process that kills itself at one of its steps: before it opens a file to
write, renames, links or removes one, makes or removes a folder, and in the middle of a file.
"""

import os
import signal
import sys

import pytest

from pipeline.core.sealed_json import read_sealed
from pipeline.remote import pull, push, remote_folder
from pipeline.remote.catalogs import RemoteCatalog
from pipeline.remote.remote_folder import open_remote_folder
from pipeline.store.artifact import MANIFEST
from pipeline.store.store import ArtifactStore
from pipeline.workflow.runs import list_runs
from tests.remote.test_both_ways import files_of

CHANGES = {
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
}
ENDED, AT_FAULT = 0, 99
NOTHING = 10_000


def steps_in_child(work, last, end):
    """How many steps a child took until it ended, or until it was to end at the last one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            steps = len(pipe.read())
        return steps, os.waitpid(child, 0)[1]
    count = 0

    def step():
        nonlocal count
        count += 1
        if count > last:
            end()
        os.write(writing, b".")

    def watch(event, arguments):
        is_write = event == "open" and isinstance(arguments[2], int)
        if event in CHANGES or (is_write and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            step()

    def stepping(chunks):
        for chunk in chunks:
            half = len(chunk) // 2
            yield chunk[:half]
            sys.stdout.flush()
            step()
            yield chunk[half:]

    def unbuffered(chunks, *told, checked=push.checked):
        return stepping(checked(chunks, *told))

    try:
        push.checked = pull.checked = unbuffered
        sys.addaudithook(watch)
        work()
        os._exit(ENDED)
    except BaseException:
        os._exit(AT_FAULT)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise OSError(28, "No space left on device")


@pytest.fixture
def short(sharing):
    """A run of one stage, and nothing else; the far end after it was pushed undisturbed."""
    sharing.near = sharing.project.store = ArtifactStore(sharing.folder / "short")
    sharing.run(last="ingest")
    sharing.push(sharing.folder / "whole")
    return files_of(sharing.folder / "whole", hidden=True)


def refuse_half(far):
    """Whatever has a manifest at the far end must be whole, and a run must have its artifacts."""
    for path in far.rglob(MANIFEST):
        for name, entry in read_sealed(path)["files"].items():
            assert (path.parent / name).stat().st_size == entry["size_bytes"]
    place = RemoteCatalog(open_remote_folder(str(far)))
    for run in place.runs():
        for made in run.record["stages"]:
            assert place.find(made["stage"], made["key"])


@pytest.mark.parametrize("end", [kill, fail], ids=["SIGKILL", "ENOSPC"])
def test_a_push_that_ends_at_any_step_goes_on(sharing, short, end, record_property):
    def work():
        sharing.push(far)

    far = sharing.folder / "counted"
    steps, status = steps_in_child(work, NOTHING, kill)
    assert status == ENDED
    assert steps > 10
    for last in range(steps):
        far = sharing.folder / f"far-{last}"
        assert steps_in_child(work, last, end)[1] != ENDED
        refuse_half(far)
        sharing.push(far)
        assert files_of(far, hidden=True) == short, last
    record_property(f"pushes ended by {end.__name__}, a step each", steps)


@pytest.mark.parametrize("end", [kill, fail], ids=["SIGKILL", "ENOSPC"])
def test_a_pull_that_ends_at_any_step_goes_on(sharing, short, end, record_property):
    def work():
        sharing.pull(sharing.folder / "whole", into=into)

    into = "counted"
    steps, status = steps_in_child(work, NOTHING, kill)
    assert status == ENDED
    assert steps > 25
    expected = files_of(sharing.near.root)
    for last in range(steps):
        into = f"near-{last}"
        store = ArtifactStore(sharing.folder / into)
        code = steps_in_child(work, last, end)[1]
        if store.root.exists():
            assert sharing.problems(store) == (), last
            assert len(list_runs(store)) <= 1
        sharing.pull(sharing.folder / "whole", into=into)
        assert files_of(store.root) == expected, last
        assert not list((store.root / ".staging").glob("*"))
        assert end is fail or code != ENDED
    record_property(f"pulls ended by {end.__name__}, a step each", steps)


def test_a_push_goes_on_from_the_files_that_are_whole(sharing, monkeypatch):
    far = sharing.folder / "far"
    sharing.push(far)
    (path,) = (far / "verify").glob(f"*/{MANIFEST}")
    path.unlink()
    (far / "verify" / path.parent.name / "verify.txt").write_text("verify mad?")
    written = []
    write = remote_folder.RemoteFolder.write

    def noting(self, name, chunks):
        written.append(name.rpartition("/")[2])
        write(self, name, chunks)

    monkeypatch.setattr(remote_folder.RemoteFolder, "write", noting)
    sharing.push(far)
    assert written == ["verify.txt", MANIFEST]
