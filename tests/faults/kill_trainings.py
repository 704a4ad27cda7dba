"""Kills one training again and again at random instants, until it is left to end.

    python -m tests.faults.kill_trainings INGEST FOLDER PLACE KILLS SEED

The libraries are imported once; each try is a forked process of its own. FOLDER gets what a
training that was left alone, and the killed one, came to; PLACE is `memory` or `shards`.
"""

import os
import pickle
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from pipeline.training.checkpoint import FILE_NAME
from tests.training import resumed_training as training

LONGEST_WAIT_SECONDS = 0.05
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def main(ingest: Path, folder: Path, place: str, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    _end(_start(ingest, folder / "unbroken", place))
    for _ in range(kills):
        child = _start(ingest, folder / "killed", place)
        for _ in range(draw.choice((1, 2))):
            _await_checkpoint(child, folder / "killed" / FILE_NAME)
        time.sleep(draw.uniform(0.0, LONGEST_WAIT_SECONDS))
        os.kill(child, signal.SIGKILL)
        _end(child)
    _end(_start(ingest, folder / "killed", place))


def _start(ingest: Path, folder: Path, place: str) -> int:
    child = os.fork()
    if child:
        return child
    try:
        began: list[tuple[int, int]] = []
        splits = training.open_images(ingest, place)
        trained = training.train(training.make_config(), splits, folder, began=began)
        _say("began", *began)
        folder.with_suffix(".pickle").write_bytes(pickle.dumps(vars(trained)))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _await_checkpoint(child: int, path: Path) -> None:
    """Waits for a checkpoint that this child saved, or its end."""
    before = _version(path)
    while _version(path) == before and os.waitid(os.P_PID, child, ENDED) is None:
        time.sleep(0.002)


def _version(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _end(child: int) -> None:
    _, status = os.waitpid(child, 0)
    _say("ended by signal" if os.WIFSIGNALED(status) else "ended", status)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
