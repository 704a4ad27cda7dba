"""SIGKILL, a full disk and a failing disk at each system call that changes the artifacts folder."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

from pipeline.store.process_owner import Owner, this_process
from tests.faults import harness, tracing
from tests.faults.conftest import MEMORY_OR_DISK
from tests.faults.harness import Ended, Server
from tests.faults.tracing import Point

FAULTS = {"SIGKILL": "signal=KILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
REMEDIES = {"ENOSPC": "Make room on its disk", "EIO": "Its disk may be failing"}
MATTERS = ("fsync", "fdatasync", "write", "pwrite64", "writev", "symlink", "symlinkat")
SHORT_STEP = 11
HIT_AT = 400  # a try makes fewer calls of a name, so that only one that spends some is hit
BOTH_LENGTHS = [
    pytest.param(SHORT_STEP, id="short"),
    pytest.param(1, id="long", marks=pytest.mark.long),
]


@pytest.fixture(scope="module")
def server():
    tracing.need_strace()
    with harness.serving() as server:
        yield server


@pytest.fixture(scope="module")
def stand(server, tmp_path_factory):
    """Gives the stand of a scene, which is built once."""
    with tempfile.TemporaryDirectory(dir=MEMORY_OR_DISK, prefix="evenkeel-stands-") as place:
        yield cache(lambda name: Stand(server, SCENES[name], Path(place, name.replace(" ", "-"))))


def damage(folder: Path) -> None:
    (path,) = folder.glob("tune/*/inner/1/large.bin")
    path.write_bytes(path.read_bytes()[:-1])


def leave_behind(folder: Path) -> None:
    """What a run that was killed while it replaced an artifact leaves."""
    ended = Owner(this_process().machine, 2**22, 1)
    staging = folder / ".staging"
    (part := staging / f"tune-0.{ended}.1" / "inner").mkdir(parents=True)
    (part / "file").write_text("a part")
    (tune,) = folder.glob("tune/*")
    tune.rename(staging / f"tune-{tune.name}.{ended}.2.replaced")
    (folder / ".claims").mkdir(exist_ok=True)
    (folder / ".claims" / f"claim.{ended}.json").write_text("{}")


@dataclass(frozen=True)
class Scene:
    """Which arguments of `run` act on what is in a folder before.

    Attributes:
        arguments: of the command that is hit.
        before: of the one that made what is there; None for an empty folder.
        then: what happened to it since.
        spoilt: the stages whose artifacts may be seen damaged, or be moved aside.
        put_back: those whose artifacts come back without a word.
    """

    arguments: tuple[str, ...]
    before: tuple[str, ...] | None = None
    then: Callable[[Path], None] = lambda folder: None
    spoilt: frozenset[str] = frozenset()
    put_back: frozenset[str] = frozenset()


TO_TUNE = ("--to", "tune")
SCENES = {
    "publish": Scene(("--to", "ingest")),
    "replace": Scene((*TO_TUNE, "--force", "tune"), TO_TUNE),
    "sweep": Scene(TO_TUNE, TO_TUNE, leave_behind, put_back=frozenset({"tune"})),
    "set aside": Scene(TO_TUNE, TO_TUNE, damage, spoilt=frozenset({"tune"})),
}


class Stand:
    """A scene that can be set again and again, and what it shows when all went well."""

    def __init__(self, server: Server, scene: Scene, folder: Path) -> None:
        self.server, self.scene = server, scene
        self.folder, self._set = folder / "artifacts", folder / "set"
        if scene.before:
            assert server.run("run", "--artifacts", self._set, *scene.before).code == 0
            shutil.rmtree(self._set / "runs")  # a name that is taken costs a call more
            scene.then(self._set)
        self.set()
        assert self.start_and_end().code == 0
        self.reference = harness.shown(self.folder)

    def set(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._set.exists():
            shutil.copytree(self._set, self.folder, symlinks=True)

    def start(self, burn: tuple[int, int] = harness.NO_FAULT) -> int:
        arguments = ("run", "--artifacts", self.folder, *self.scene.arguments)
        return self.server.start("run", *arguments, burn=burn)

    def start_and_end(self) -> Ended:
        self.start()
        return self.server.end()

    def shown(self) -> dict[str, object]:
        return harness.shown(self.folder, passing_over=self.scene.spoilt)

    @cached_property
    def points(self) -> list[Point]:
        """The calls that change the folder, where nothing is hit."""
        self.set()
        log = self.folder.with_name("calls.log")
        with tracing.tracing(self.server.process.pid, log):
            process = self.start()
            assert self.server.end().code == 0
        return tracing.changing_points(log, process, self.folder)


@pytest.mark.parametrize("step", BOTH_LENGTHS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENES)
def test_a_call_that_fails_or_is_the_last_loses_nothing(
    server, stand, folder, record_property, name, fault, step
):
    stand = stand(name)
    points = stand.points
    log, begun = folder / "faults.log", []
    first = list(FAULTS).index(fault) * 2 % step
    options = tracing.hitting(FAULTS[fault], HIT_AT, sorted({p.call for p in points}))
    with tracing.tracing(server.process.pid, log, *options):
        for point in points[first::step]:
            stand.set()
            before = harness.stages_in(stand.shown())
            begun.append(stand.start(point.burn(HIT_AT)))
            ended = server.end()
            harness.assert_a_part(stand.shown(), stand.reference)
            if fault == "SIGKILL":
                assert ended.signal == 9, (point, ended)
            else:
                assert_error(stand, point, ended, before, REMEDIES[fault])
            again = stand.start_and_end()
            harness.assert_recovered(
                stand.folder, again, stand.reference, set_aside=bool(stand.scene.spoilt)
            )
    if fault != "SIGKILL":
        assert tracing.injected(log) == dict.fromkeys(begun, 1)
    record_property(f"{fault} at calls that change the folder: {name}", len(begun))


def assert_error(stand, point, ended, before, remedy):
    """It is told, or did not matter; nothing is published but what was said to be."""
    if ended.code == 0:
        assert point.call not in MATTERS, (point, ended)
    else:
        harness.assert_told(ended, stand.folder.parent, remedy)
    seen, said = harness.stages_in(stand.shown()), before | ended.published
    assert said - stand.scene.spoilt <= seen <= said | stand.scene.put_back, (point, ended)


READ_FAULTS = {
    "read": ("error=EIO", "Its disk may be failing"),
    "openat": ("error=EMFILE", "Allow more open files"),
}


@pytest.mark.parametrize("step", BOTH_LENGTHS)
@pytest.mark.parametrize("call", READ_FAULTS)
def test_what_cannot_be_read_now_is_told_and_left_where_it_is(
    server, stand, folder, record_property, call, step
):
    stand = stand("replace")
    fault, remedy = READ_FAULTS[call]
    stand.set()
    with tracing.tracing(server.process.pid, folder / "calls.log"):
        process = stand.start()
        assert server.end().code == 0
    points = tracing.reading_points(folder / "calls.log", process, stand.folder)
    begun = []
    log, options = folder / "faults.log", tracing.hitting(fault, f"{HIT_AT}+", [call])
    with tracing.tracing(server.process.pid, log, *options):
        for point in [point for point in points if point.call == call][::step]:
            stand.set()
            begun.append(stand.start(point.burn(HIT_AT)))
            ended = server.end()
            if ended.code:
                # Any file may be the one that is too many, the machine's id too.
                place = stand.folder.parent if call == "read" else Path("/")
                harness.assert_told(ended, place, remedy)
            assert harness.shown(stand.folder) == stand.reference
            harness.assert_recovered(stand.folder, stand.start_and_end(), stand.reference)
    assert begun
    assert set(tracing.injected(log)) == set(begun)
    record_property(f"{fault.partition('=')[2]} at calls that read the folder", len(begun))


def test_what_is_published_was_on_the_disk_before_and_its_name_is_after(server, folder):
    stand = Stand(server, SCENES["publish"], folder)
    assert stand.points
    calls = tracing.successful_calls(folder / "calls.log")
    (renamed,) = (n for n, (call, rest) in enumerate(calls) if is_publishing(call, rest))
    staging = calls[renamed][1].split('"')[1]
    synced = {rest.split("<")[1].split(">")[0] for call, rest in calls[:renamed] if call == "fsync"}
    published = next(stand.folder.glob("ingest/*"))
    for path in (published, *published.rglob("*")):
        assert str(Path(staging) / path.relative_to(published)) in synced, path
    after = [rest for call, rest in calls[renamed:] if call == "fsync"]
    assert f"<{published.parent}>" in after[0]


def is_publishing(call, rest):
    return call == "rename" and "/.staging/ingest-" in rest
