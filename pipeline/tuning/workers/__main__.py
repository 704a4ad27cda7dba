"""Starts a worker: `python -m pipeline.tuning.workers task.json`, a file that the pool writes."""

import importlib
import sys
from pathlib import Path

from pipeline.core.child_process import UNUSED_BY_KERAS


def main(task: Path) -> None:
    for unused in UNUSED_BY_KERAS:
        sys.modules[unused] = None  # type: ignore[assignment]  # as if it were not installed
    importlib.import_module("pipeline.tuning.workers.worker").main(task)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
