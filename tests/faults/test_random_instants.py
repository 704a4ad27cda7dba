"""SIGKILL, Ctrl-C and SIGTERM at random instants of the whole pipeline."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.plugins import ROOT
from pipeline.workflow import graph
from tests.faults import harness

INTERRUPTED = "error  interrupted; the same command goes on from what is finished\n"
STOPPING = "stopping …\n"
LONGEST_START_SECONDS = 0.5
SEED = 0
AGAIN_SHARE, STAGE_SHARE = 0.3, 0.6
LONGEST_PAUSE_SECONDS = 0.01


@pytest.fixture(scope="module")
def server():
    with harness.serving() as server:
        yield server


class Chaos:
    """A folder in which runs are ended at random instants, and one where they are not."""

    def __init__(self, server, folder):
        self.server, self.draw = server, random.Random(SEED)
        self.folder = folder / "artifacts"
        began = time.monotonic()
        assert server.run("run", "--artifacts", folder / "reference").code == 0
        self.seconds = time.monotonic() - began
        self.reference = harness.shown(folder / "reference")

    def begin(self):
        """Runs what there is to run, or one stage once more; gives the process."""
        forced = self.draw.choice([(), ("--force", self.draw.choice(graph.NAMES))])
        return self.server.start("run", "run", "--artifacts", self.folder, *forced)

    def pause(self):
        """Waits for an instant of the run, or of a stage of it: planning takes longer than most."""
        if self.draw.random() < STAGE_SHARE:
            self.server.await_stage(self.draw.choice(graph.NAMES), self.seconds)
            time.sleep(self.draw.uniform(0, LONGEST_PAUSE_SECONDS))
        else:
            time.sleep(self.draw.uniform(0, self.seconds))

    def rerun(self):
        again = self.server.run("run", "--artifacts", self.folder)
        harness.assert_recovered(self.folder, again, self.reference)

    def go_on(self):
        """Ends more runs before one may come to its end, or not; begins anew after that."""
        harness.assert_a_part(harness.shown(self.folder), self.reference)
        if self.draw.random() > AGAIN_SHARE:
            self.rerun()
            if self.draw.random() > AGAIN_SHARE:
                shutil.rmtree(self.folder)


@pytest.mark.parametrize("kills", [10, pytest.param(1000, marks=pytest.mark.long)])
def test_killed_at_random_instants_a_run_loses_nothing(server, folder, record_property, kills):
    chaos, killed = Chaos(server, folder), Counter()
    while killed.total() < kills:
        process = chaos.begin()
        chaos.pause()
        os.kill(process, signal.SIGKILL)
        ended = server.end()
        if ended.signal:
            killed[ended.stage.partition(",")[0] or "the start"] += 1
        chaos.go_on()
    if kills >= 1000:
        assert set(killed) >= set(graph.NAMES)
    for stage, count in killed.items():
        record_property(f"SIGKILL at random instants: {stage} (miniature)", count)


@pytest.mark.parametrize("times", ["once", "twice"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("signals", [5, pytest.param(250, marks=pytest.mark.long)])
def test_asked_to_end_at_a_random_instant_it_does_in_one_line(
    server, folder, record_property, signals, number, times
):
    chaos, fired = Chaos(server, folder), 0
    while fired < signals:
        process = chaos.begin()
        server.await_beginning()
        chaos.pause()
        os.kill(process, number)
        if times == "twice":
            time.sleep(chaos.draw.uniform(0, LONGEST_PAUSE_SECONDS))
            os.killpg(process, chaos.draw.choice([signal.SIGINT, signal.SIGTERM]))
        ended = server.end()
        if ended.code:
            fired += 1
            codes = {128 + number} if times == "once" else {130, 143}
            assert ended.code in codes, ended
            assert ended.err == INTERRUPTED, ended  # beside what the descriptor itself gets
        chaos.go_on()
    record_property(f"{number.name} {times} at random instants (miniature)", fired)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("signals", [3, pytest.param(40, marks=pytest.mark.long)])
def test_asked_to_end_while_it_starts_it_does_in_one_line(record_property, signals, number):
    draw, fired = random.Random(SEED), 0
    while fired < signals:
        process = subprocess.Popen(
            [sys.executable, "run_pipeline.py", "run", "--dry-run"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        _await_handler(process.pid)
        time.sleep(draw.uniform(0, LONGEST_START_SECONDS))
        process.send_signal(number)
        _, err = process.communicate()
        if process.returncode:
            fired += 1
            assert process.returncode == 128 + number
            assert err in (INTERRUPTED, STOPPING + INTERRUPTED)  # first there is nothing to stop
    record_property(f"{number.name} while the program starts", fired)


def _await_handler(process):
    """Waits until Python itself has started: run_pipeline.py handles SIGTERM, Python does not."""
    while not _caught(process) >> (signal.SIGTERM - 1) & 1:
        time.sleep(0.001)


def _caught(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
