"""What beginning from a trained model gives where images are few.

    .venv/bin/python benchmarks/transfer.py [FOLDER [SEEDS]]

For each seed a small network is trained on all of MNIST and on all of Fashion-MNIST. From each,
training begins on 10, 50 and 500 images a class of the other set, those of validation among them
(a fifth), in three ways, beside one from scratch on the same images; the settings are the same for
all. The test split is asked once a model. Artifacts go into FOLDER, so that a second call goes on.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import keras
from rich.console import Console

from pipeline.artifacts.store import ArtifactStore
from pipeline.config_loading import load_config
from pipeline.planning import Step
from pipeline.plugins import ROOT
from pipeline.progress import LogProgress
from pipeline.runner import Watcher, execute
from pipeline.selection import Selection

SETS = {"MNIST": "mnist.yaml", "Fashion-MNIST": "fashion_mnist.yaml"}
EPOCHS = {10: 50, 50: 24, 500: 5}
NETWORK = (
    "tune.enabled=false",
    "model.filters=12",
    "train.precision=float32",
    "train.jit_compile=false",
    "evaluate.worst_mistakes=0",
)
PRETRAINING = ("train.epochs=2",)
FEW = ("train.batch_size=32", "train.learning_rate=2e-3", "data.validation_fraction=0.2")
WAYS = {
    "from scratch": (),
    "all layers train": ("train.fine_tuning={head: new, freeze_batch_norm: false}",),
    "head alone": ("train.fine_tuning={head: new, freeze: all_but_head}",),
    "nearest mean": ("train.fine_tuning={head: nearest_mean}",),
}
Results = dict[tuple[str, int, str], list[float]]


def run(store: ArtifactStore, config: str, last: str, *overrides: str) -> tuple[Step, ...]:
    quiet = Watcher(
        LogProgress(Console(quiet=True)), lambda *_: None, lambda *_: None, lambda *_: None
    )
    loaded = load_config(ROOT / "configs" / config, [*NETWORK, *overrides])
    keras.backend.clear_session()
    return execute(loaded, store, Selection(last=last), quiet)


def measure(store: ArtifactStore, seed: int) -> Iterator[tuple[tuple[str, int, str], float]]:
    for before, after in (("MNIST", "Fashion-MNIST"), ("Fashion-MNIST", "MNIST")):
        trained = run(store, SETS[before], "train", f"seed={seed}", *PRETRAINING)[-1].artifact
        assert trained
        for count, epochs in EPOCHS.items():
            images = f"data.train_per_class={count}", f"train.epochs={epochs}", f"seed={seed}"
            for way, settings in WAYS.items():
                begun = [f"train.initial_weights={trained.path}"] if settings else []
                steps = run(store, SETS[after], "evaluate", *images, *FEW, *begun, *settings)
                assert steps[-1].artifact
                yield (after, count, way), steps[-1].artifact.manifest["metrics"]["accuracy"]


def show(results: Results) -> None:
    print(f"| test accuracy on | images a class | {' | '.join(WAYS)} |")
    print(f"|---|---|{'---|' * len(WAYS)}")
    for after in reversed(SETS):
        for count in EPOCHS:
            cells = (_cell(results.get((after, count, way), [])) for way in WAYS)
            print(f"| {after} | {count} | {' | '.join(cells)} |")


def _cell(found: list[float]) -> str:
    if not found:
        return ""
    spread = f" ± {100 * statistics.stdev(found):.1f}" if len(found) > 1 else ""
    return f"{100 * statistics.mean(found):.1f}{spread}"


def main(folder: Path, seeds: int = 3) -> None:
    results: Results = {}
    for seed in range(seeds):
        for place, accuracy in measure(ArtifactStore(folder), seed):
            results.setdefault(place, []).append(accuracy)
            print(f"seed {seed}: {place[0]}, {place[1]} a class, {place[2]}: {accuracy:.2%}")
        show(results)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    else:
        with tempfile.TemporaryDirectory(dir=ROOT / "artifacts") as temporary:
            main(Path(temporary))
