"""A picture of a search: each trial's score and the best so far."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.tuning.base_search import Trial
from pipeline.tuning.chance import Chance


def plot_trials(trials: Sequence[Trial], objective: str, guessing: Chance, path: Path) -> None:
    """Writes a PNG, with what guessing reaches; failed trials are left out."""
    scored = [(trial.number, trial.score) for trial in trials if trial.score is not None]
    numbers, scores = [n for n, _ in scored], [s for _, s in scored]
    better = max if objective == "val_accuracy" else min
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.step(
        numbers, list(accumulate(scores, better)), where="post", color="#8aa4c8", label="best"
    )
    axes.plot(numbers, scores, "o", color="#1f4e96", label="trial")
    if scores:
        axes.axhline(guessing.level, color="#b05a3c", linestyle="--", label="guessing")
    if not any(map(guessing.is_beaten_by, scores)):
        axes.set_title("no trial is better than chance", loc="left", fontsize="medium")
    if guessing.is_accuracy:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("trial")
    axes.set_ylabel(objective.replace("val_", "validation "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
