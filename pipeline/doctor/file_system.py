"""Whether a file system can do what publishing an artifact rests on, tried in a folder of it."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from pipeline.core.command_hints import run_pipeline
from pipeline.core.durable import sync
from pipeline.doctor.disk import nearest
from pipeline.doctor.finding import Finding

RIVAL_SECONDS = 20
RIVAL = (
    "import sys, filelock\n"
    "try: filelock.FileLock(sys.argv[1]).acquire(timeout=0)\n"
    "except filelock.Timeout: sys.exit(9)\n"
)
KEPT_OUT = 9
# Without it, two runs may make the same artifact, each for itself; none is damaged by that.
MAY_LACK = {"lock"}


def try_rename(folder: Path) -> str:
    """A folder with a file in it gets a new name in another folder."""
    made, target = folder / ".staging" / "made", folder / "train" / "key"
    made.mkdir(parents=True)
    (made / "manifest.json").write_text("{}", "utf-8")
    target.parent.mkdir()
    made.rename(target)
    return "" if (target / "manifest.json").is_file() else "the renamed folder lost its file"


def try_fsync(folder: Path) -> str:
    """A file, and the names in its folder, reach the disk."""
    file = folder / "synced"
    file.write_text("{}", "utf-8")
    sync(file)
    sync(folder)
    return ""


def try_lock(folder: Path) -> str:
    """What one process locks, another cannot."""
    path = folder / "one.lock"
    with FileLock(path):
        rival = [sys.executable, "-c", RIVAL, str(path)]
        done = subprocess.run(rival, capture_output=True, text=True, timeout=RIVAL_SECONDS)
    if done.returncode == KEPT_OUT:
        return ""
    last = (done.stderr.strip().splitlines() or ["both got it"])[-1]
    return f"a second process was not kept out: {last}"


def try_links(folder: Path) -> str:
    """A run is a folder of relative links to its artifacts."""
    (folder / "linked").mkdir()
    link = folder / "link"
    link.symlink_to("linked", target_is_directory=True)
    return "" if link.resolve() == (folder / "linked").resolve() else "a link leads elsewhere"


ABILITIES: Mapping[str, Callable[[Path], str]] = {
    "rename": try_rename,
    "fsync": try_fsync,
    "lock": try_lock,
    "links": try_links,
}


def examine_abilities(
    artifacts: Path, abilities: Mapping[str, Callable[[Path], str]] = ABILITIES
) -> Iterator[Finding]:
    """One finding for each ability that is lacking, or one that none is; leaves nothing behind."""
    place = nearest(artifacts)
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as scratch:
        wrong = {name: _tried(ability, Path(scratch)) for name, ability in abilities.items()}
        ignores_case = (Path(scratch) / "SYNCED").exists()
    for name, why in wrong.items():
        if why:
            level: Literal["warn", "fail"] = "warn" if name in MAY_LACK else "fail"
            remedy = f"name one on a local disk: {run_pipeline('--artifacts', 'FOLDER')}"
            yield Finding(name, level, f"does not work in {place}: {why}", remedy)
    if not any(wrong.values()):
        case = "; names differ by more than case" if ignores_case else ""
        yield Finding("file system", "ok", f"{_together([*wrong])} work{case}")


def _together(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _tried(ability: Callable[[Path], str], folder: Path) -> str:
    try:
        return ability(folder)
    except (OSError, NotImplementedError, Timeout, subprocess.TimeoutExpired) as error:
        return getattr(error, "strerror", None) or str(error)
