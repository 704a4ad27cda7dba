"""What beginning from a trained model gives where images are few.

    .venv/bin/python benchmarks/transfer.py [SEED ...]

For each seed a small network is trained on MNIST and one on Fashion-MNIST. From each, training
begins on 10, 50 and 500 images a class of the other set, in three ways, beside one from scratch on
the same images: 200 steps for all, with the same settings, no augmentation and no choice on
validation. The test split is asked once a model.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from pipeline.config.loading import load_config
from pipeline.config.schema import AugmentationSection, PipelineConfig, TrainSection
from pipeline.core.plugins import ROOT
from pipeline.data.batches import BatchPlan, training_batches
from pipeline.data.images.stratified import sample_per_class
from pipeline.data.images.types import LabelledImages
from pipeline.data.sources import idx
from pipeline.training.create_model import create_model
from pipeline.training.fit import Splits
from pipeline.training.optimizer import compile_model
from pipeline.training.techniques.fine_tuning import begin
from pipeline.training.techniques.freezing import treatments
from pipeline.training.techniques.layer_learning_rates import set_rates
from pipeline.training.techniques.nearest_class_mean import set_nearest_mean

SHAPE, CLASSES = (28, 28, 1), 10
COUNTS = (10, 50, 500)
STEPS, STEPS_AT_ONCE = 200, 50
SETTINGS = ("tune.enabled=false", "model.filters=8", "train.learning_rate=2e-3")
BATCH, FILE, SCRATCH = 32, "trained.keras", "from scratch"
WAYS: dict[str, dict[str, Any]] = {
    SCRATCH: {},
    "all layers": {"head": "new", "freeze_batch_norm": False},
    "head alone": {"head": "new", "freeze": "all_but_head"},
    "nearest mean": {"head": "nearest_mean"},
}
Place = tuple[str, int, str]
Sets = dict[str, dict[str, LabelledImages]]


def read_sets() -> tuple[PipelineConfig, Sets]:
    """MNIST's config, and both sets with their splits."""
    found: Sets = {}
    for name in ("fashion_mnist", "mnist"):
        config = load_config(ROOT / "configs" / f"{name}.yaml", SETTINGS)
        assert isinstance(config.data, idx.Options)
        data = idx.load(config.data)
        assert isinstance(data.train, LabelledImages)
        assert isinstance(data.test, LabelledImages)
        found[name] = {"train": data.train, "test": data.test}
    return config, found


class Trainer:
    """Networks that are compiled once for each way, which takes longer than to train them."""

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self._compiled: dict[str, Any] = {}

    def train(self, way: str, images: LabelledImages, seed: int, file: Path | None) -> Any:
        """A network that was trained on the images, begun from the file where the way says so."""
        first = create_model(self.config.model_copy(update={"seed": seed}), SHAPE, CLASSES)
        model = self._compiled.get(way, first)
        model.set_weights(first.get_weights())
        section = begun(self.config, model, file, way)
        if section.fine_tuning.trains_nothing:
            names = [str(label) for label in range(CLASSES)]
            set_nearest_mean(model, Splits(images, images, CLASSES), names)
        elif way in self._compiled:
            for variable in model.optimizer.variables:
                variable.assign(np.zeros(variable.shape))
        else:
            execution = {"jit_compile": False, "steps_per_execution": STEPS_AT_ONCE}
            compile_model(model, section, STEPS, execution)
            set_rates(model, treatments(model, section.fine_tuning), STEPS)
        self._compiled[way] = model
        if not section.fine_tuning.trains_nothing:
            model.fit(_batches(images, seed), steps_per_epoch=STEPS, shuffle=False, verbose=0)
        return model


def _batches(images: LabelledImages, seed: int) -> Any:
    size = 4 * BATCH if len(images) > COUNTS[-1] * CLASSES else BATCH
    plan = BatchPlan(CLASSES, size, seed, epochs=STEPS * size // len(images) + 2)
    return training_batches(images, AugmentationSection(), plan).take(STEPS)


def accuracy(model: Any, test: LabelledImages) -> float:
    parts = range(0, len(test), 1000)
    answers = [model(test.images[i : i + 1000].astype("float32"), training=False) for i in parts]
    return float((np.concatenate(answers).argmax(axis=1) == test.labels).mean())


def begun(config: PipelineConfig, model: Any, file: Path | None, way: str) -> TrainSection:
    """The section with which training goes on from what is in the file, which the model gets."""
    if not WAYS[way]:
        return config.train
    values = {**config.train.model_dump(), "initial_weights": file, "fine_tuning": WAYS[way]}
    section = TrainSection.model_validate(values)
    begin(model, section, [str(label) for label in range(CLASSES)], lambda text: None)
    return section


def measure(seed: int, folder: Path, trainer: Trainer, sets: Sets) -> Iterator[tuple[Place, float]]:
    for before, after in (("mnist", "fashion_mnist"), ("fashion_mnist", "mnist")):
        trained, file = trainer.train(SCRATCH, sets[before]["train"], seed, None), folder / FILE
        trained.save(file)
        yield (before, 6000, SCRATCH), accuracy(trained, sets[before]["test"])
        for images in COUNTS:
            few = sets[after]["train"]
            few = few.select(sample_per_class(few.labels, images, seed))
            for way in WAYS:
                model = trainer.train(way, few, seed, file)
                yield (after, images, way), accuracy(model, sets[after]["test"])


def show(results: dict[Place, list[float]]) -> None:
    print(f"| test accuracy on | images a class | {' | '.join(WAYS)} |")
    print(f"|---|---|{'---|' * len(WAYS)}")
    for after in dict.fromkeys(place[0] for place in results):
        for images in (*COUNTS, 6000):
            cells = (_cell(results.get((after, images, way), [])) for way in WAYS)
            print(f"| {after} | {images} | {' | '.join(cells)} |")


def _cell(found: list[float]) -> str:
    if not found:
        return ""
    spread = f" ± {100 * statistics.stdev(found):.1f}" if len(found) > 1 else ""
    return f"{100 * statistics.mean(found):.1f}{spread}"


def main(*seeds: int) -> None:
    results: dict[Place, list[float]] = {}
    config, sets = read_sets()
    for seed in seeds:
        with tempfile.TemporaryDirectory(dir=ROOT / "artifacts") as folder:
            for place, found in measure(seed, Path(folder), Trainer(config), sets):
                results.setdefault(place, []).append(found)
                print(f"seed {seed}: {place[0]}, {place[1]} a class, {place[2]}: {found:.2%}")
        show(results)


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:]) if len(sys.argv) > 1 else range(3)))
