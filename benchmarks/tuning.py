"""Trials an hour of a search: by one worker, and by two at a time, each with one thread.

    .venv/bin/python benchmarks/tuning.py [--rounds 3] [--trials 8]

Both make the same trials of `compact_cnn` on MNIST, in turns, each round in a new artifacts folder
whose images are ready. Counted is the stage `tune` from its start to its end, so the start of the
workers too; and apart from that the time between the ends of the first trials and of the last, as
in a long search. Below the table stand the load and how much of the processors' time others had.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = (1, 2)
OVERRIDES = (
    "train.precision=float32",
    "train.jit_compile=false",
    "train.deterministic=true",
    "tune.enabled=true",
    "tune.algorithm=random",
    "tune.epochs=1",
    "tune.data_fraction=0.2",
    "tune.space={train.learning_rate: {log: [1e-4, 1e-2]}}",
)
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def main(rounds: int, trials: int) -> None:
    speeds: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    steady: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    with tempfile.TemporaryDirectory(prefix="evenkeel-benchmark-") as name:
        images = Path(name) / "images"
        _run(images, "ingest", 1, trials)
        for number in range(rounds):
            for workers in WORKERS if number % 2 else WORKERS[::-1]:
                folder = Path(name) / "round"
                shutil.copytree(images, folder, symlinks=True)
                load, stolen = os.getloadavg()[0], _stolen_seconds()
                seconds, ends = _run(folder, "tune", workers, trials)
                shutil.rmtree(folder)
                speeds[workers].append(trials / seconds * 3600)
                steady[workers].append((trials - workers) / (ends[-1] - ends[workers - 1]) * 3600)
                share = (_stolen_seconds() - stolen) / seconds / len(os.sched_getaffinity(0))
                print(
                    f"round {number + 1}, {workers} at a time: {seconds:6.1f} s, "
                    f"{speeds[workers][-1]:6.1f} trials an hour, {steady[workers][-1]:6.1f} once "
                    f"under way; load before {load:.1f}, others had {share:.0%}",
                    flush=True,
                )
    _show("from start to end", speeds)
    _show("once under way", steady)


def _run(folder: Path, stage: str, workers: int, trials: int) -> tuple[float, list[float]]:
    """The seconds that the stage says it took, and when each trial ended."""
    command = [sys.executable, "run_pipeline.py", "run", "--to", stage, "--artifacts", str(folder)]
    settings = (*OVERRIDES, f"tune.workers={workers}", f"tune.max_trials={trials}")
    ends, seconds = [], 0.0
    with subprocess.Popen(
        [*command, *settings],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.lstrip().startswith("trial "):
                ends.append(time.perf_counter())
            if found := re.search(r" trials; best: .*\(([\d.]+) s\)$", line.rstrip()):
                seconds = float(found[1])
    assert process.returncode == 0
    return seconds, ends


def _stolen_seconds() -> float:
    """Processor time that the host gave to others, of /proc/stat."""
    return int(Path("/proc/stat").read_text(encoding="utf-8").split()[8]) / os.sysconf("SC_CLK_TCK")


def _show(what: str, speeds: dict[int, list[float]]) -> None:
    one, two = (statistics.median(speeds[workers]) for workers in WORKERS)
    ratios = [b / a for a, b in zip(speeds[1], speeds[2], strict=True)]
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"{what}: {one:.0f} and {two:.0f} trials an hour, "
        f"{statistics.median(ratios):.2f} times (rounds: {shown})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    given = parser.parse_args()
    main(given.rounds, given.trials)
