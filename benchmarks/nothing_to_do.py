"""How long a run with nothing to do takes, beside `dvc repro` of seven stages that are up to date.

    python3 -m venv /tmp/dvc && /tmp/dvc/bin/pip install dvc
    .venv/bin/python benchmarks/nothing_to_do.py --dvc /tmp/dvc/bin/dvc [--turns 15]

The stages of DVC depend on each other as ours do, on this project's code and on MNIST's archives.
Both are called in turns, and `--help` besides; prints the median seconds and the ratio.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from pipeline.core.plugins import ROOT
from pipeline.workflow.graph import STAGES

CONFIG = "configs/smoke.yaml"


def seconds(command: Sequence[str], folder: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


def same_stages(folder: Path, dvc: str) -> None:
    """A folder with the project's code in which DVC has run the seven stages, each a copy."""
    for package in ("pipeline", "export", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    stages = {}
    for stage in STAGES:
        needs = [f"{name}.txt" for name in stage.inputs]
        stages[stage.name] = {
            "cmd": f"echo {stage.name} > {stage.name}.txt",
            "deps": [CONFIG, "pipeline", "export", *needs],
            "outs": [f"{stage.name}.txt"],
        }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    for call in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([dvc, *call], cwd=folder, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--dvc", required=True, help="DVC's program, in an environment of its own")
    parser.add_argument("--turns", type=int, default=15, help="how often each is called")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        theirs, artifacts = Path(folder) / "dvc", Path(folder) / "artifacts"
        theirs.mkdir()
        same_stages(theirs, options.dvc)
        ours = [sys.executable, "run_pipeline.py"]
        run = [*ours, "run", "-c", CONFIG, "--artifacts", str(artifacts)]
        subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
        calls = {
            "nothing to do": (run, ROOT),
            "dvc repro": ([options.dvc, "repro", "-q"], theirs),
            "--help": ([*ours, "--help"], ROOT),
        }
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(options.turns):
            for name, call in calls.items():
                taken[name].append(seconds(*call))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, median in medians.items():
        print(f"{name:14}{median:6.2f} s")
    print(f"dvc repro takes {medians['dvc repro'] / medians['nothing to do']:.1f} times as long")


if __name__ == "__main__":
    main()
