"""The checkpoint file: whole, or refused, or still the one before."""

import errno
import os
import resource
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from pipeline.core.errors import StageError
from pipeline.training import checkpoint as checkpoints
from pipeline.training.checkpoint import Checkpoint, CheckpointFile, State, decode, encode

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(2**40), np.zeros((0, 2), "int8")]


def made(epoch=1, fingerprint="this"):
    states = {"network": State(arrays=ARRAYS), "best": State({"score": 1 / 3, "epoch": None})}
    return Checkpoint(fingerprint, "here", epoch, 4, states)


@pytest.fixture
def file(tmp_path):
    return CheckpointFile(tmp_path)


def refuse_to_tell(text):
    raise AssertionError(text)


def test_what_was_written_is_read(file):
    saved = made()
    file.write(saved)
    found = file.read("this", refuse_to_tell)
    assert replace(found, states=None) == replace(saved, states=None)
    assert dict(found.states["best"].values) == {"score": 1 / 3, "epoch": None}
    for array, original in zip(found.states["network"].arrays, ARRAYS, strict=True):
        assert (array.dtype, array.shape) == (original.dtype, original.shape)
        np.testing.assert_array_equal(array, original)


def test_no_checkpoint_is_none(file):
    assert file.read("this", refuse_to_tell) is None


def test_it_is_a_plain_npz_file_without_pickles(file):
    file.write(made())
    with np.load(file.path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["network/0"], ARRAYS[0])


def test_an_array_of_objects_is_not_written(file):
    states = {"network": State(arrays=[np.array([{}], dtype=object)])}
    with pytest.raises(ValueError, match="allow_pickle=False"):
        file.write(replace(made(), states=states))


def test_every_flipped_bit_and_every_truncation_is_refused():
    data = encode(made())
    assert decode(data).epoch == 1
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match="SHA-256"):
            decode(bytes(flipped))
    for length in range(len(data)):
        with pytest.raises(ValueError, match="SHA-256"):
            decode(data[:length])


def test_a_damaged_checkpoint_is_refused_before_it_is_parsed(monkeypatch):
    def parse(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr(checkpoints.np, "load", parse)
    with pytest.raises(ValueError, match="SHA-256"):
        decode(encode(made())[:-1] + b"-")


def test_the_one_before_stands_in_for_a_damaged_one_and_that_is_said(file):
    for epoch in (1, 2, 3):
        file.write(made(epoch))
    file.path.write_bytes(file.path.read_bytes()[:-10])
    told = []
    assert file.read("this", told.append).epoch == 2
    reason = "is damaged and not used (its SHA-256 is not that of its bytes)"
    assert told == [f"{file.path} {reason}"]


def test_a_checkpoint_of_another_training_is_not_used_and_that_is_said(file):
    file.write(made(fingerprint="other"))
    told = []
    assert file.read("this", told.append) is None
    assert told == [f"{file.path} is of a training on other images or in another precision"]


def test_bytes_with_the_right_digest_but_no_checkpoint_in_them_are_refused():
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.comment = bytes(64)
        archive.writestr("other.txt", "")
    body = buffer.getvalue()[:-64]
    with pytest.raises(ValueError, match=r"checkpoint\.json"):
        decode(body + checkpoints.digest(body))


@contextmanager
def largest_file(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def no_space(file):
    """The unfinished file is a device that is always full."""
    (file.path.parent / checkpoints.UNFINISHED).symlink_to("/dev/full")


@pytest.mark.parametrize("trouble", ["No space left on device", "File too large"])
def test_a_full_disk_leaves_the_checkpoints_that_are_there_and_says_what_to_do(file, trouble):
    for epoch in (1, 2):
        file.write(made(epoch))
    before = {path.name: path.read_bytes() for path in file.path.parent.iterdir()}
    if trouble == "No space left on device":
        no_space(file)
    message = rf"unfinished\.npz: .*: {trouble}\. [MR].* goes on from the checkpoint before$"
    with largest_file(len(encode(made())) // 2), pytest.raises(StageError, match=message):
        file.write(made(3))
    assert {path.name: path.read_bytes() for path in file.path.parent.iterdir()} == before
    file.write(made(3))
    assert file.read("this", refuse_to_tell).epoch == 3


def test_a_disk_too_full_for_the_first_checkpoint_promises_nothing(file):
    no_space(file)
    with pytest.raises(StageError, match=r"Make room on its disk .* goes on from the start$"):
        file.write(made())


@pytest.mark.parametrize(("call", "times"), [("write_bytes", 1), ("replace", 2), ("sync", 2)])
def test_at_whichever_call_it_is_killed_a_checkpoint_is_found(file, monkeypatch, call, times):
    """Ends the third writing before and after each of its calls."""
    owner = checkpoints if call == "sync" else checkpoints.Path
    genuine = getattr(owner, call)
    for moment in range(2 * times):
        calls = []

        def dying(*arguments, moment=moment, calls=calls):
            calls.append(call)
            if len(calls) * 2 - 1 > moment:
                raise KeyboardInterrupt
            genuine(*arguments)
            if len(calls) * 2 > moment:
                raise KeyboardInterrupt

        for epoch in (1, 2):
            file.write(made(epoch))
        monkeypatch.setattr(owner, call, dying)
        with pytest.raises(KeyboardInterrupt):
            file.write(made(3))
        monkeypatch.setattr(owner, call, genuine)
        assert file.read("this", refuse_to_tell).epoch in (2, 3)


def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch):
    def fail(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Too many open files"):
        CheckpointFile(tmp_path).read("", pytest.fail)
