"""One trial: trains with the values that it tries, and measures them on validation."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.config.loading import with_values
from pipeline.config.schema import PipelineConfig, TrainSection
from pipeline.config.train import TECHNIQUES
from pipeline.data import dataset_json
from pipeline.data.dataset_json import Description
from pipeline.training.callbacks import KeepBest
from pipeline.training.create_model import create_model
from pipeline.training.divergence import StopOnDivergence
from pipeline.training.fit import Splits, Training, fit, open_splits
from pipeline.training.precision import Execution
from pipeline.training.techniques import chain_of
from pipeline.tuning.trial_log import TrialValues

# Trials are too short to make a network smaller; they are compared without.
WITHOUT = {name for name, section in TECHNIQUES.items() if not section.searched}
PLAIN = {
    f"train.{name}": value
    for name, value in TrainSection().model_dump(mode="json", include=WITHOUT).items()
}


@dataclass(frozen=True)
class Material:
    """What trials train on: a stratified part of the training split, and all of validation.

    Attributes:
        config: what a trial changes for itself.
        splits: the images.
        dataset: what they are.
        place: where the images are, in words.
    """

    config: PipelineConfig
    splits: Splits
    dataset: Description
    place: str

    def score(self, values: TrialValues, epochs: int, execution: Execution) -> float:
        """The objective of the best epoch."""
        tried = with_values(self.config, {**values, "train.epochs": epochs, **PLAIN})
        objective = tried.tune.objective
        shape, num_classes = self.dataset.image_shape, self.dataset.num_classes
        model = create_model(tried, shape, num_classes, execution.policy)
        chain = chain_of(tried.train, self.dataset, self.splits.validation, lambda text: None)
        chain.prepare()
        model = chain.wrap(model)
        best = KeepBest(objective)
        watchers = [StopOnDivergence(tried.train), best]
        fit(model, Training(tried, self.splits, execution, chain), watchers)
        return best.logs[objective]


def open_material(config: PipelineConfig, folder: Path) -> Material:
    """Reads the images of the ingest artifact in `folder` that trials see."""
    dataset = dataset_json.read(folder)
    splits, place = open_splits(
        folder,
        config.train.memory_limit_mib,
        dataset.num_classes,
        fraction=config.tune.data_fraction,
        seed=config.seed,
    )
    return Material(config, splits, dataset, place)
