"""Many calls of the program at once in one artifacts folder, with stages that only write files.

    python -m tests.faults.rivals

It reads lines of a scenario, a folder and a number of rounds. Processes are forked from it, which
has all imports behind it, wait for each other and begin together. It answers each line by one that
tells as JSON what they did.
"""

import fcntl
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from types import SimpleNamespace

from export.formats import verdict
from pipeline.cli import main as cli
from pipeline.cli import options
from pipeline.config.loading import load_config
from pipeline.core.errors import DamagedArtifactError, DataError
from pipeline.core.plugins import ROOT
from pipeline.store.store import ArtifactStore
from pipeline.workflow import execute, graph, plan
from pipeline.workflow.selection import Selection
from pipeline.workflow.stage import StageContext, StageResult

CONFIG = ROOT / "configs" / "mnist.yaml"
ARCHIVES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
TRACEBACK = 99
RIVALS, OTHERS = 16, 3
TIMEOUT_SECONDS = 60
REFUSED_SEED = 666
UNUSED = "0" * 16


class Place:
    """A folder with some data, the artifacts, and a diary that all processes write to."""

    def __init__(self, folder: Path) -> None:
        self.data, self.artifacts = folder / "data", folder / "artifacts"
        self.diary, self.said = folder / "diary", folder / "said"
        self.meeting: Barrier | None = None
        self.data.mkdir(parents=True)
        self.said.mkdir()
        self.diary.touch()
        for name in ARCHIVES:
            (self.data / f"{name}-ubyte.gz").write_text(name)

    @property
    def overrides(self) -> list[str]:
        return [f"data.folder={self.data}", "tune.enabled=false"]

    def note(self, *words: object) -> None:
        """Adds a line; short ones of several processes do not mix."""
        with self.diary.open("ab", buffering=0) as file:
            file.write((" ".join(map(str, words)) + "\n").encode())

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.diary.read_text().splitlines()]

    def published(self) -> list[tuple[str, str]]:
        """Each stage and key that has a folder now."""
        found = []
        for stage in graph.NAMES:
            with suppress(FileNotFoundError):
                found += [(stage, folder.name) for folder in (self.artifacts / stage).iterdir()]
        return found

    def stage(self, name: str) -> SimpleNamespace:
        """Stands for a module of `pipeline.workflow.stage`."""

        def run(context: StageContext) -> StageResult:
            if context.config.seed == REFUSED_SEED:
                raise DataError("bad images; bring others")
            if name == "ingest" and self.meeting:
                with suppress(BrokenBarrierError):
                    self.meeting.wait()
                self.meeting.abort()  # nobody need wait any more
            (context.scratch / "state").write_text(name)
            read = [sorted(p.name for p in folder.iterdir()) for folder in context.inputs.values()]
            text = f"{name} {context.config.train.epochs} {read} {os.environ.get('CONTENT')}"
            (context.output / f"{name}.txt").write_text(text * 50)
            (context.output / "more").mkdir()
            (context.output / "more" / "copy.txt").write_text(text)
            if name == "verify":
                shown = verdict.Verdict(1, 1.0, 1, 1, 1, ())
                verdict.write(shown, context.output / verdict.FILE_NAME)
            self.note("made", name, context.config.train.epochs)
            return StageResult(f"{name} done")

        return SimpleNamespace(run=run)


def warm(place: Place) -> None:
    """Has what every call needs read once, before processes are forked."""
    execute.importlib = SimpleNamespace(  # type: ignore[attr-defined]
        import_module=lambda name: place.stage(name.rpartition(".")[2])
    )
    execute.environment = SimpleNamespace(describe=dict)  # type: ignore[attr-defined]
    options.console.width = 200
    config = load_config(CONFIG, place.overrides)
    plan.plan(config, ArtifactStore(place.artifacts), Selection())


def call(place: Place, *arguments: str) -> None:
    sys.argv = ["run_pipeline.py", *arguments, "--artifacts", str(place.artifacts)]
    cli.main()


def run(place: Place, *arguments: str) -> None:
    call(place, "run", "-c", str(CONFIG), *place.overrides, *arguments)


def at_once(place: Place, works: Sequence[Callable[[], object]]) -> list[dict[str, object]]:
    """Forks a process for each work; gives the exit code and the errors of each."""
    gate, opener = os.pipe()
    processes = []
    for work in works:
        said = place.said / str(len(list(place.said.iterdir())))
        processes.append((_fork(work, said, gate, opener), said))
        said.touch()
    os.close(gate)
    os.close(opener)
    ended = []
    for process, said in processes:
        status = os.waitpid(process, 0)[1]
        ended.append({"code": os.waitstatus_to_exitcode(status), "said": said.read_text()})
    return ended


def _fork(work: Callable[[], object], said: Path, gate: int, opener: int) -> int:
    process = os.fork()
    if process:
        return process
    code = TRACEBACK
    try:
        os.close(opener)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
        os.read(gate, 1)
        work()
        code = 0
    except SystemExit as ending:
        code = int(ending.code or 0)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        sys.stderr.flush()
        os._exit(code)


def poll(place: Place, until: Path) -> None:
    """Looks for every artifact again and again, as stages and commands do, until a file is there.

    All that is found must be whole.
    """
    store, seen, polls = ArtifactStore(place.artifacts), set(), 0
    while not until.exists():
        for stage, key in place.published():
            for look in (store.find, store.intact):
                polls += 1
                try:
                    if found := look(stage, key):
                        seen.add(found.identity["content"])
                except DamagedArtifactError as error:
                    place.note("damaged", error)
    place.note("polled", polls, len(seen))


def discard(place: Place, until: Path) -> None:
    """Deletes every artifact that no run claims, again and again, until a file is there."""
    store, gone, kept = ArtifactStore(place.artifacts), 0, 0
    while not until.exists():
        for stage, key in place.published():
            with suppress(FileNotFoundError):  # another was quicker
                is_gone = store.discard(stage, key)
                gone, kept = gone + is_gone, kept + (not is_gone)
    place.note("discarded", gone, kept)


def sweep(place: Place, until: Path) -> None:
    count = 0
    while not until.exists():
        ArtifactStore(place.artifacts).prepare()
        count += 1
    place.note("swept", count)


def without_locks(work: Callable[[], object]) -> Callable[[], object]:
    """The work, in a process where flock() does nothing and says that it did."""

    def unlocked() -> None:
        fcntl.flock = lambda *arguments: None
        work()

    return unlocked


def with_content(work: Callable[[], object]) -> Callable[[], object]:
    """The work; what its stages make is its own."""

    def other() -> None:
        os.environ["CONTENT"] = f"{os.getpid()} {time.monotonic_ns()}"
        work()

    return other


def _beside(
    place: Place, others: Callable[[Place, Path], None], works: Sequence[Callable[[], object]]
) -> list[dict[str, object]]:
    """Does the works, while some others do something else until all of them ended."""
    ended = place.diary.with_name(f"ended-{len(place.lines())}")
    left = len(works)

    def counted(work: Callable[[], object]) -> Callable[[], object]:
        def done() -> None:
            try:
                work()
            finally:
                place.note("ended", ended.name)
                if sum(line == ["ended", ended.name] for line in place.lines()) == left:
                    ended.touch()

        return done

    beside = [lambda: others(place, ended)] * OTHERS
    return at_once(place, [*map(counted, works), *beside])


def same(place: Place, number: int) -> list[dict[str, object]]:
    return at_once(place, [lambda: run(place, f"seed={number}")] * RIVALS)


def same_without_locks(place: Place, number: int) -> list[dict[str, object]]:
    """Two at least make the first artifact at the same time."""
    place.meeting = get_context("fork").Barrier(2, timeout=TIMEOUT_SECONDS)
    ended = at_once(place, [without_locks(lambda: run(place, f"seed={number}"))] * RIVALS)
    place.meeting = None
    return ended


def different(place: Place, number: int) -> list[dict[str, object]]:
    def work(epochs: int) -> Callable[[], object]:
        return lambda: run(place, f"seed={number}", f"train.epochs={epochs}")

    return at_once(place, [work(epochs) for epochs in range(1, RIVALS + 1)])


def replacing(place: Place, number: int) -> list[dict[str, object]]:
    """All replace what the others made, by other content under its old key; some look on."""
    works = [with_content(lambda: run(place, "--force", "train", "--force", "ingest"))]
    return _beside(place, poll, works * RIVALS)


def replacing_without_locks(place: Place, number: int) -> list[dict[str, object]]:
    works = [without_locks(with_content(lambda: run(place, "--force", "train")))]
    return _beside(place, poll, works * RIVALS)


def discarding(place: Place, number: int) -> list[dict[str, object]]:
    """What an earlier run made and no run claims goes, while others begin to use it."""
    at_once(place, [lambda: run(place, f"seed={number}"), lambda: run(place, "train.epochs=2")])
    shutil.rmtree(place.artifacts / "runs")
    store = ArtifactStore(place.artifacts)
    with store.staging("train", UNUSED) as folder:
        store.publish(folder, {**store.latest("train").manifest, "key": UNUSED})
    works = [lambda: run(place, f"seed={number}"), lambda: run(place, "train.epochs=2")]
    return _beside(place, discard, works * (RIVALS // 2))


def sweeping(place: Place, number: int) -> list[dict[str, object]]:
    works = [lambda: run(place, f"seed={number}"), lambda: run(place, f"train.epochs={number + 1}")]
    return _beside(place, sweep, works * (RIVALS // 2))


def failing(place: Place, number: int) -> list[dict[str, object]]:
    """Runs that fail tidy up behind themselves, beside runs that begin."""
    good = [lambda: run(place, f"seed={number}")] * (RIVALS // 2)
    bad = [lambda: run(place, f"seed={REFUSED_SEED}")] * (RIVALS // 2)
    return at_once(place, [work for pair in zip(bad, good, strict=True) for work in pair])


SCENARIOS = (
    same,
    same_without_locks,
    different,
    replacing,
    replacing_without_locks,
    discarding,
    sweeping,
    failing,
)


def main(scenario: str, rounds: str, folder: str) -> None:
    """Plays the rounds of a scenario, then runs once more alone."""
    place = Place(Path(folder))
    warm(place)
    play = {each.__name__: each for each in SCENARIOS}[scenario]
    ended = [play(place, number) for number in range(int(rounds))]
    again = at_once(place, [lambda: run(place)])
    told = {"rounds": ended, "again": again, "diary": place.lines()}
    print(json.dumps(told), flush=True)  # noqa: T201


if __name__ == "__main__":
    while line := sys.stdin.readline():
        main(*line.rstrip("\n").split(" ", 2))
