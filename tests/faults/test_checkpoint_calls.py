"""SIGKILL, a full disk and a failing disk at each system call that writes checkpoints."""

import shutil

import pytest

from pipeline.training.checkpoint import FILE_NAME, PREVIOUS, CheckpointFile, encode
from tests.faults import harness, tracing
from tests.faults.miniature import checkpoint
from tests.faults.test_system_calls import BOTH_LENGTHS, FAULTS, HIT_AT, REMEDIES, server

__all__ = ["server"]
COUNT = 3


def newest(folder):
    """The number of the checkpoint that a training would go on from; None if none is there."""
    told = []
    found = CheckpointFile(folder).read("fingerprint", told.append)
    assert told == []
    if found is None:
        return None
    assert encode(found) == encode(checkpoint(found.epoch))
    return found.epoch


@pytest.mark.parametrize("step", BOTH_LENGTHS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_newest_or_the_one_before_survives(server, folder, record_property, fault, step):
    scratch = folder / "scratch"

    def start(burn=harness.NO_FAULT):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return server.start("checkpoints", scratch, COUNT, burn=burn)

    with tracing.tracing(server.process.pid, folder / "calls.log"):
        process = start()
        assert server.end().code == 0
    points = tracing.changing_points(folder / "calls.log", process, scratch)
    assert len(points) > 5 * COUNT
    options = tracing.hitting(FAULTS[fault], HIT_AT, sorted({point.call for point in points}))
    begun = []
    with tracing.tracing(server.process.pid, folder / "faults.log", *options):
        for point in points[::step]:
            begun.append(start(point.burn(HIT_AT)))
            ended = server.end()
            done = int(ended.stage) if ended.stage else None
            following = 0 if done is None else done + 1
            assert newest(scratch) in (done, following), point
            if fault == "SIGKILL":
                assert ended.signal == 9
            else:
                harness.assert_told(ended, scratch, REMEDIES[fault])
            file = CheckpointFile(scratch)
            for number in range(following, COUNT):
                file.write(checkpoint(number))
            assert {path.name for path in scratch.iterdir()} == {FILE_NAME, PREVIOUS}
            assert newest(scratch) == COUNT - 1
    if fault != "SIGKILL":
        assert tracing.injected(folder / "faults.log") == dict.fromkeys(begun, 1)
    record_property(f"{fault} at calls that write a checkpoint", len(begun))
