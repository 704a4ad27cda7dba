"""tune: tries settings on a part of the training split; validation says which is best."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import TuneSection
from pipeline.data import description
from pipeline.stages import StageContext, StageResult
from pipeline.training.determinism import deterministic
from pipeline.training.precision import decide_execution
from pipeline.tuning.crew import Crew, threads_of_each
from pipeline.tuning.finished import TrialValues
from pipeline.tuning.naming import search_name
from pipeline.tuning.plot import plot_trials
from pipeline.tuning.search import Search
from pipeline.tuning.service import serving
from pipeline.tuning.shared import SharedSearch
from pipeline.tuning.trials import PROJECT, Ended, Trial, TrialSearch
from pipeline.tuning.trying import open_material

START_SECONDS = 120.0


def run(context: StageContext) -> StageResult:
    """Publishes `best.yaml`, `trials.csv`, `trials.png` and KerasTuner's state."""
    section = context.config.tune
    folder = context.scratch / context.identity  # trials on other images do not count
    folder.mkdir(exist_ok=True)
    with context.progress.task("tuning", section.max_trials) as task:

        def ended(trial: Trial, best: Trial | None) -> None:
            context.progress.line(_line(trial, section.objective))
            task.advance(1, f"best {best.score:.4f}" if best and best.score else "")

        search = _searched(context, folder, ended)
    trials, best = search.trials(), search.best()
    assert best is not None
    _write(context, trials, best)
    shutil.copytree(folder / PROJECT, context.output / PROJECT)
    return StageResult(
        f"{len(trials)} trials; best: {_words(best)}", {section.objective: best.score or 0.0}
    )


def _searched(context: StageContext, folder: Path, ended: Ended) -> TrialSearch:
    """The search when it is over."""
    section = context.config.tune
    is_shared = section.workers > 1 or section.address
    return (_shared if is_shared else _alone)(context, folder, ended)


def _alone(context: StageContext, folder: Path, ended: Ended) -> TrialSearch:
    config = context.config
    material = open_material(config, context.inputs["ingest"])
    context.progress.line(material.place)
    execution = decide_execution(config, material.dataset.image_shape, material.dataset.num_classes)

    def score(values: TrialValues, epochs: int) -> float:
        return material.score(values, epochs, execution)

    search = Search(config.tune, config.seed, folder, score, ended)
    with deterministic(config.train.deterministic):
        search.run()
    return search


def _shared(context: StageContext, folder: Path, ended: Ended) -> TrialSearch:
    config, images = context.config, context.inputs["ingest"]
    dataset = description.read(images)
    execution = decide_execution(config, dataset.image_shape, dataset.num_classes)
    search = SharedSearch(config.tune, config.seed, folder, ended, execution)
    name = search_name(config, images)
    left = folder / "workers"
    shutil.rmtree(left, ignore_errors=True)  # of a search that was killed
    left.mkdir()
    with serving(search, name, config.tune.address) as address:
        crew = Crew(config, images, left, search=name, address=address, wait_seconds=START_SECONDS)
        context.progress.line(_crew_in_words(config.tune))
        with crew:
            search.run(crew)
    return search


def _crew_in_words(section: TuneSection) -> str:
    threads = threads_of_each(section.workers)
    who = f"{section.workers} worker{'s' if section.workers > 1 else ''} of {threads} thread"
    where = f", and those that join at {section.address}" if section.address else ""
    return f"{who}{'s' if threads > 1 else ''}{where}"


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
