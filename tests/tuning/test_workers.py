"""Workers that train, and are killed."""

import os
import signal
from pathlib import Path

import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.stages import tune
from pipeline.tuning.workers import __main__
from pipeline.tuning.workers.chief import SharedSearch
from pipeline.workflow.stage import StageContext
from tests.training.techniques.test_ensemble import write_ingest
from tests.training.test_stages import SMALL, SilentProgress

SEARCH = (*SMALL, "train.deterministic=true", "tune.algorithm=random", "tune.max_trials=2")


@pytest.fixture
def search(tmp_path):
    images = tmp_path / "ingest"
    images.mkdir()
    write_ingest(images)

    def run(name, *overrides, progress=None):
        output, scratch = tmp_path / name, tmp_path / f"{name}-scratch"
        output.mkdir()
        scratch.mkdir()
        config = load_config(ROOT / "configs" / "mnist.yaml", [*SEARCH, *overrides])
        progress = progress or SilentProgress()
        made = {"ingest": images}
        tune.run(StageContext(config, made, output, scratch, progress, "made from these"))
        return output

    return run


def workers_of_this_process():
    """Process ids of the children that run the worker's module."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = __main__.__name__.encode() in (folder / "cmdline").read_bytes()
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if is_worker and int(parent) == os.getpid():
            yield int(folder.name)


@pytest.fixture
def killed(monkeypatch):
    """The worker that is killed with SIGKILL as soon as it has the second trial."""
    pools, killed = [], []
    run, next_trial = SharedSearch.run, SharedSearch.next_trial

    def run_with(search, pool):
        pools.append(pool)
        return run(search, pool)

    def kill_one(search, worker):
        trial = next_trial(search, worker)
        if trial.trial_id == "1" and not killed:
            killed.append(worker)
            os.kill(pools[0].process_ids[worker], signal.SIGKILL)
        return trial

    monkeypatch.setattr(SharedSearch, "run", run_with)
    monkeypatch.setattr(SharedSearch, "next_trial", kill_one)
    return killed


def test_two_workers_of_which_one_is_killed_find_what_one_finds(search, monkeypatch, killed):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(len(os.sched_getaffinity(0))))
    alone = search("alone")
    progress = SilentProgress()
    shared = search("shared", "tune.workers=2", progress=progress)
    assert len(killed) == 1
    assert progress.lines[0].startswith("2 workers of ")
    for name in ("trials.csv", "best.yaml"):
        assert (shared / name).read_bytes() == (alone / name).read_bytes()
    assert list(workers_of_this_process()) == []


@pytest.mark.parametrize("address", ["localhost", "4400", "host:", ":4400", "host:70000", "host:x"])
def test_what_is_no_address_is_refused_when_the_config_is_read(address):
    message = r"tune\.address: '.*' is no address; expected host:port, such as 10\.0\.0\.7:4400$"
    with pytest.raises(ConfigError, match=message):
        load_config(ROOT / "configs" / "mnist.yaml", [f"tune.address='{address}'"])
