"""Takes part in a search that runs on another machine."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.config.schema import PipelineConfig
from pipeline.tuning.workers.search_id import search_name
from pipeline.tuning.workers.worker_pool import WorkerPool

LOOK_SECONDS = 0.25
WAIT_SECONDS = 600.0


def join(config: PipelineConfig, images: Path, address: str, joined: Callable[[], None]) -> int:
    """Works until the search at an address is over; gives how many trials were begun here.

    Args:
        config: the same as there.
        images: the ingest artifact, made here from the same images.
        address: host:port, as `tune.address` has it there.
        joined: is called when the first trial begins here.

    Raises:
        ConfigError: the search there is another.
        StageError: there is none, or no longer.
    """
    with tempfile.TemporaryDirectory(prefix="evenkeel-tune-") as folder:
        pool = WorkerPool(
            config,
            images,
            Path(folder),
            search=search_name(config, images),
            address=address,
            wait_seconds=WAIT_SECONDS,
        )
        with pool:
            has_joined = False
            while pool.is_at_work:
                time.sleep(LOOK_SECONDS)
                pool.tend()
                if pool.trials and not has_joined:
                    has_joined = True
                    joined()
            return pool.trials
