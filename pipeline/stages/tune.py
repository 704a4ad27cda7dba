"""tune: tries settings on a part of the training split; validation says which is best.

Where none is better than chance, the config keeps its own values.
"""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.schema import TuneSection
from pipeline.core.text import count_of
from pipeline.data import dataset_json
from pipeline.training.precision import decide_execution, deterministic
from pipeline.tuning.base_search import PROJECT, Ended, Trial, TrialSearch
from pipeline.tuning.chance import Chance, chance
from pipeline.tuning.objective import open_material
from pipeline.tuning.plot import plot_trials
from pipeline.tuning.search import Search
from pipeline.tuning.trial_log import TrialValues
from pipeline.tuning.workers.chief import SharedSearch
from pipeline.tuning.workers.grpc_server import serving
from pipeline.tuning.workers.search_id import search_name
from pipeline.tuning.workers.worker_pool import WorkerPool, threads_of_each
from pipeline.workflow.stage import StageContext, StageResult

START_SECONDS = 120.0
KEPT = "the config keeps its own values"


def run(context: StageContext) -> StageResult:
    """Publishes `best.yaml`, `trials.csv`, `trials.png` and KerasTuner's state."""
    section = context.config.tune
    folder = context.scratch / context.identity  # trials on other images do not count
    folder.mkdir(exist_ok=True)
    with context.progress.task("tuning", section.max_trials) as task:

        def ended(trial: Trial, best: Trial | None) -> None:
            context.progress.line(_line(trial, section))
            task.advance(1, f"best {_score_words(best.score, section)}" if best else "")

        search = _finished_search(context, folder, ended)
    trials, best = search.trials(), search.best()
    counts = dataset_json.read(context.inputs["ingest"]).counts["validation"]
    guessing = chance(context.config, trials, counts)
    winner = best if best and guessing.is_beaten_by(_score(best)) else None
    said = _winner_words(winner) if winner else _why_none(trials, best, guessing, section)
    _write(context, trials, winner, guessing)
    shutil.copytree(folder / PROJECT, context.output / PROJECT)
    scores = {section.objective: _score(best), "chance": guessing.level} if best else {}
    return StageResult(f"{len(trials)} trials{said}", {**scores, "beats_chance": int(bool(winner))})


def _score(trial: Trial) -> float:
    assert trial.score is not None
    return trial.score


def _winner_words(best: Trial) -> str:
    return f"; best: {_words(best)}"


def _why_none(
    trials: Sequence[Trial], best: Trial | None, guessing: Chance, section: TuneSection
) -> str:
    """Why no trial counts, and what to do; the search itself went well."""
    if best is None:
        return (
            f", all failed (the last: {trials[-1].why}); {KEPT}. Narrow tune.space, such as its "
            "rates"
        )
    said = f", none better than chance: at best {_result(best, section)}"
    if not guessing.can_be_beaten:
        return (
            f"{said}, and with so few validation images luck may reach any; {KEPT}. Hold out more: "
            "data.validation_fraction"
        )
    return (
        f"{said}; guessing has {_score_words(guessing.level, section)}, and only "
        f"{_score_words(guessing.bound, section)} is more than luck; {KEPT}. Give trials more "
        "(tune.epochs, tune.data_fraction) or another tune.space"
    )


def _finished_search(context: StageContext, folder: Path, ended: Ended) -> TrialSearch:
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
    dataset = dataset_json.read(images)
    execution = decide_execution(config, dataset.image_shape, dataset.num_classes)
    search = SharedSearch(config.tune, config.seed, folder, ended, execution)
    name = search_name(config, images)
    left = folder / "workers"
    shutil.rmtree(left, ignore_errors=True)  # of a search that was killed
    left.mkdir()
    with serving(search, name, config.tune.address) as address:
        pool = WorkerPool(
            config, images, left, search=name, address=address, wait_seconds=START_SECONDS
        )
        context.progress.line(_pool_in_words(config.tune))
        with pool:
            search.run(pool)
    return search


def _pool_in_words(section: TuneSection) -> str:
    threads = count_of(threads_of_each(section.workers), "thread")
    where = f", and those that join at {section.address}" if section.address else ""
    return f"{count_of(section.workers, 'worker')} of {threads}{where}"


def _words(trial: Trial) -> str:
    values = (f"{key} {_number(value)}" for key, value in trial.values.items())
    return ", ".join(values)


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _line(trial: Trial, section: TuneSection) -> str:
    return f"trial {trial.number}: {_result(trial, section)} with {_words(trial)}"


def _result(trial: Trial, section: TuneSection) -> str:
    if trial.score is None:
        return f"failed ({trial.why})"
    name = section.objective.replace("val_", "validation ")
    return f"{name} {_score_words(trial.score, section)}"


def _score_words(score: float | None, section: TuneSection) -> str:
    return f"{score:.2%}" if section.objective == "val_accuracy" else f"{score:.4f}"


def _write(
    context: StageContext, trials: Sequence[Trial], best: Trial | None, guessing: Chance
) -> None:
    """What was tried and, of the best, the values that later stages take up."""
    output, objective = context.output, context.config.tune.objective
    found = best.values if best else {}
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in found.items()]
    nothing = [f"# No trial was better than chance: {KEPT}.\n"]
    (output / "best.yaml").write_text("".join(lines or nothing), encoding="utf-8")
    _write_csv(output / "trials.csv", trials, objective)
    plot_trials(trials, objective, guessing, output / "trials.png")


def _write_csv(path: Path, trials: Sequence[Trial], objective: str) -> None:
    keys = list(trials[0].values)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", objective, "epochs", *keys])
        for trial in trials:
            score = "" if trial.score is None else f"{trial.score:.6g}"
            writer.writerow([trial.number, score, trial.epochs, *(trial.values[k] for k in keys)])
