"""Kills kinds of search a few times each at random instants, then lets them end.

    python -m tests.faults.kill_searches FOLDER KILLS ALGORITHM...

FOLDER gets the trials of each as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.tuning import test_search as searching

TRIAL_SECONDS, WAIT_SECONDS = 0.1, (0.15, 0.3)


def main(folder: Path, kills: int, algorithms: list[str]) -> None:
    draw = random.Random(0)
    for algorithm in algorithms:
        killed = 0
        for _ in range(kills):
            child = _start(folder, algorithm)
            time.sleep(draw.uniform(*WAIT_SECONDS))
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        _, status = os.waitpid(_start(folder, algorithm), 0)
        sys.stdout.write(f"{algorithm} killed {killed} times, then {status}\n")


def _start(folder: Path, algorithm: str) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        trials = searching.search(folder / f"{algorithm}-killed", algorithm, score=_slowly).run()
        said = [(t.number, t.values, t.epochs, t.score) for t in trials]
        (folder / f"{algorithm}.json").write_text(json.dumps(said))
        status = 0
    finally:
        os._exit(status)


def _slowly(values, epochs):
    time.sleep(TRIAL_SECONDS)
    return searching.score(values, epochs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
