"""SIGKILL of real processes that search."""

import json
import re
import subprocess
import sys

import pytest

from pipeline.core.plugins import ROOT
from tests.tuning.test_search import ALGORITHMS, search


@pytest.mark.parametrize(
    ("kills", "algorithms"),
    [(2, ALGORITHMS[:1]), pytest.param(8, ALGORITHMS, marks=pytest.mark.long)],
)
def test_killed_at_random_instants_a_search_makes_the_same_trials(
    tmp_path, record_property, kills, algorithms
):
    command = ["tests.faults.kill_searches", tmp_path, kills, *algorithms]
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0
    for algorithm in algorithms:
        unbroken = search(tmp_path / "unbroken", algorithm).run()
        said = json.loads((tmp_path / f"{algorithm}.json").read_text())
        assert said == [[t.number, t.values, t.epochs, t.score] for t in unbroken]
        (killed,) = re.findall(rf"{algorithm} killed (\d+) times, then 0", done.stdout)
        assert int(killed) > 0
        record_property(f"SIGKILL of a real search: {algorithm}", int(killed))
