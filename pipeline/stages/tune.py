"""tune: tries settings on a part of the training split; validation says which is best."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from pipeline.config_loading import with_values
from pipeline.data import description
from pipeline.data.description import Description
from pipeline.stages import StageContext, StageResult
from pipeline.training.callbacks import KeepBest
from pipeline.training.determinism import deterministic
from pipeline.training.divergence import StopOnDivergence
from pipeline.training.fine_tuning import begin
from pipeline.training.fitting import Splits, fit, open_splits
from pipeline.training.model_creation import create_model
from pipeline.training.precision import Execution, decide_execution
from pipeline.tuning.finished import TrialValues
from pipeline.tuning.plot import plot_trials
from pipeline.tuning.search import PROJECT, Search, Trial


def run(context: StageContext) -> StageResult:
    """Publishes `best.yaml`, `trials.csv`, `trials.png` and KerasTuner's state."""
    config, section = context.config, context.config.tune
    splits, dataset = _read(context)
    execution = decide_execution(config, dataset.image_shape, splits.num_classes)
    folder = context.scratch / context.identity  # trials on other images do not count
    folder.mkdir(exist_ok=True)

    def score(values: TrialValues, epochs: int) -> float:
        tried = with_values(config, {**values, "train.epochs": epochs})
        return _train_once(tried, splits, dataset, execution)

    with context.progress.task("tuning", section.max_trials) as task:

        def ended(trial: Trial, best: Trial | None) -> None:
            context.progress.line(_line(trial, section.objective))
            task.advance(1, f"best {best.score:.4f}" if best and best.score else "")

        search = Search(section, config.seed, folder, score, ended)
        with deterministic(config.train.deterministic):
            trials = search.run()
    best = search.best()
    assert best is not None
    _write(context, trials, best)
    shutil.copytree(folder / PROJECT, context.output / PROJECT)
    return StageResult(
        f"{len(trials)} trials; best: {_words(best)}", {section.objective: best.score or 0.0}
    )


def _read(context: StageContext) -> tuple[Splits, Description]:
    """A stratified part of the training split, and the whole of validation."""
    config, folder = context.config, context.inputs["ingest"]
    dataset = description.read(folder)
    splits, place = open_splits(
        folder,
        config.train.memory_limit_mib,
        dataset.num_classes,
        fraction=config.tune.data_fraction,
        seed=config.seed,
    )
    context.progress.line(place)
    return splits, dataset


def _train_once(
    config: PipelineConfig, splits: Splits, dataset: Description, execution: Execution
) -> float:
    """The objective of the best epoch."""
    objective = config.tune.objective
    model = create_model(config, dataset.image_shape, splits.num_classes, execution.policy)
    begin(model, config.train, dataset.classes, lambda text: None)
    best = KeepBest(objective)
    fit(model, config, splits, execution, [StopOnDivergence(config.train), best])
    return best.logs[objective]


def _words(trial: Trial) -> str:
    values = (f"{key} {_number(value)}" for key, value in trial.values.items())
    return ", ".join(values)


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(trial: Trial, objective: str) -> str:
    name = objective.replace("val_", "validation ")
    result = f"{name} {trial.score:.4f}" if trial.score is not None else f"failed ({trial.why})"
    return f"trial {trial.number}: {result} with {_words(trial)}"


def _write(context: StageContext, trials: Sequence[Trial], best: Trial) -> None:
    output, objective = context.output, context.config.tune.objective
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in best.values.items())
    (output / "best.yaml").write_text("".join(lines), encoding="utf-8")
    _write_csv(output / "trials.csv", trials, objective)
    plot_trials(trials, objective, output / "trials.png")


def _write_csv(path: Path, trials: Sequence[Trial], objective: str) -> None:
    keys = list(trials[0].values)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", objective, "epochs", *keys])
        for trial in trials:
            score = "" if trial.score is None else f"{trial.score:.6g}"
            writer.writerow([trial.number, score, trial.epochs, *(trial.values[k] for k in keys)])
