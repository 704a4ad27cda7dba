"""repair(): makes what is damaged anew where that gives the same artifact, else leaves it."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.layers import merge, nested
from pipeline.config.loading import recorded_config
from pipeline.core.durable import make_folder
from pipeline.core.errors import DamagedArtifactError, PipelineError
from pipeline.maintenance.integrity import Kind, Problem, damage_in, target_of
from pipeline.store.artifact import KEY, Artifact, open_artifact
from pipeline.store.claims import entries
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph
from pipeline.workflow.execute import Watcher, execute
from pipeline.workflow.keys import changes
from pipeline.workflow.plan import Step, plan
from pipeline.workflow.runs import Run, open_run
from pipeline.workflow.selection import Selection

MOST_CHANGES = 3
STAYS = "left in its place, where nothing takes it for whole; to give it up, delete its folder"

Use = tuple[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of a problem.

    Attributes:
        is_mended: whether all is well there now.
        what: what was done, or why it could not be.
    """

    problem: Problem
    is_mended: bool
    what: str


@dataclass(frozen=True)
class _Recipe:
    """How an artifact was made, as far as it is known."""

    config: Mapping[str, Any]
    source: str
    inputs: frozenset[Use]
    ingredients: Mapping[str, Any] | None = None


def repair(
    store: ArtifactStore, problems: Sequence[Problem], watcher: Watcher
) -> Iterator[Outcome]:
    """Mends one problem after the other; what is as it was published stays so.

    What cannot be made anew stays in its place. Else it is moved aside just before, so that a
    repair which is killed can be repeated: what a run lacks then is found missing.

    Raises:
        ConfigError: the folder cannot be written.
    """
    store.prepare(dict.fromkeys(p.stage for p in problems if p.stage in graph.NAMES))
    try:
        recipes = {problem.use: _recipe(store, problem) for problem in problems}
        for problem in _in_order(problems, recipes):
            try:
                yield Outcome(problem, *_mend(store, problem, recipes[problem.use], watcher))
            except (PipelineError, OSError) as error:
                yield Outcome(problem, False, str(error).replace("\n", "; "))
    finally:
        store.tidy()


def _in_order(
    problems: Sequence[Problem], recipes: Mapping[Use, _Recipe | None]
) -> Iterator[Problem]:
    """Inputs before what is made from them, but else the later stage first.

    What was made anew can come out other, and then what lies between two stages is outdated.
    """
    waiting = sorted(problems, key=_place_in_graph)
    while waiting:
        uses = {problem.use for problem in waiting}

        def is_next(problem: Problem, uses: set[Use] = uses) -> bool:
            recipe = recipes[problem.use]
            return recipe is None or not recipe.inputs & uses

        problem = next(filter(is_next, reversed(waiting)), waiting[0])
        waiting.remove(problem)
        yield problem


def _place_in_graph(problem: Problem) -> int:
    """Runs come behind all stages, so that they are mended first."""
    return graph.NAMES.index(problem.stage) if problem.stage in graph.NAMES else len(graph.NAMES)


def _mend(
    store: ArtifactStore, problem: Problem, recipe: _Recipe | None, watcher: Watcher
) -> tuple[bool, str]:
    if problem.kind is Kind.UNREADABLE:
        return False, "left alone; give yourself access or check the disk, then check again"
    if problem.kind is Kind.BAD_RUN:
        return False, (
            "left alone, for its links still protect what it used; delete its folder yourself if "
            "you do not need it"
        )
    if problem.kind is Kind.BAD_LINK:
        return _relink(store, problem)
    if not KEY.fullmatch(problem.name):
        return False, "left alone; no run can use what has no key, so you may delete it"
    if recipe is None:
        return False, f"no run uses it, and nothing says how it was made; {STAYS}"
    return _make_anew(store, problem, recipe, watcher)


def _relink(store: ArtifactStore, problem: Problem) -> tuple[bool, str]:
    run = open_run(store.root / problem.stage / problem.name)
    key = {each["stage"]: each["key"] for each in run.record["stages"]}[problem.link]
    link = run.path / problem.link
    if link.is_dir() and not link.is_symlink():
        return False, f"{link} is a folder; move it away, and call this again"
    with store.staging("link", key) as folder:
        (folder / problem.link).symlink_to(target_of(problem.link, key), target_is_directory=True)
        (folder / problem.link).replace(link)
    return True, f"links to {problem.link}/{key} again"


@contextmanager
def _moved_aside(store: ArtifactStore, problem: Problem, watcher: Watcher) -> Iterator[bool]:
    """Has it in the quarantine, unless a run has replaced it; puts it back if the block fails."""
    place = store.root / problem.stage / problem.name

    def waiting() -> None:
        watcher.warned(f"{problem.place}: a run is making it; waiting for it")

    with store.lock(*problem.use, waiting):
        is_replaced = os.path.lexists(place) and damage_in(place) is None
        aside = None if is_replaced else store.set_aside(*problem.use)
    try:
        yield aside is not None
    except BaseException:
        with suppress(OSError):  # it was missing, or has been made anew by another
            if aside and not os.path.lexists(place):
                make_folder(place.parent)
                aside.rename(place)
        raise


def _recipe(store: ArtifactStore, problem: Problem) -> _Recipe | None:
    """From the newest run that used the artifact, else from its own manifest."""
    made = _manifest(store.root / problem.stage / problem.name)
    if made is not None and made.key != problem.name:
        made = None
    ingredients = made.manifest["ingredients"] if made else None
    for run in _newest_first(store):
        used = {each["stage"]: each["key"] for each in run.record["stages"]}
        if used.get(problem.stage) == problem.name:
            (stage,) = (each for each in graph.STAGES if each.name == problem.stage)
            inputs = frozenset((name, used[name]) for name in stage.inputs if name in used)
            return _Recipe(run.record["config"], f"run {run.name}", inputs, ingredients)
    if made is None or not isinstance(made.manifest.get("config"), dict):
        return None
    return _Recipe(_untuned(store, made), "its manifest", frozenset(_inputs(made)), ingredients)


def _newest_first(store: ArtifactStore) -> list[Run]:
    """Every run that can be read now; the others keep none from being made anew."""
    runs = []
    for path in entries(store.root / "runs"):
        with suppress(DamagedArtifactError, OSError):
            runs.append(open_run(path))
    return sorted(runs, key=lambda run: (run.record["started"], run.name), reverse=True)


def _untuned(store: ArtifactStore, made: Artifact) -> Mapping[str, Any]:
    """The config of a manifest, but with what the user said where the search found better."""
    config: dict[str, Any] = dict(made.manifest["config"])
    sources = [_manifest(store.root / name / key) for name, key in _inputs(made)]
    for artifact in filter(None, (*sources, made)):
        for section, values in artifact.manifest["ingredients"].get("config", {}).items():
            config = merge(config, nested(section.split("."), values))
    return config


def _inputs(made: Artifact) -> list[Use]:
    inputs = made.manifest["inputs"].items()
    return [(name, str(i["key"])) for name, i in inputs if isinstance(i, dict) and "key" in i]


def _manifest(path: Path) -> Artifact | None:
    with suppress(DamagedArtifactError, OSError):
        return open_artifact(path)
    return None


def _make_anew(
    store: ArtifactStore, problem: Problem, recipe: _Recipe, watcher: Watcher
) -> tuple[bool, str]:
    config = recorded_config(recipe.config, recipe.source)
    step = plan(config, store, Selection(last=problem.stage))[-1]
    if step.key != problem.name:
        stays = "" if problem.kind is Kind.MISSING else f"; {STAYS}"
        return False, f"{_other(step, recipe)}{stays}"
    call = f"python run_pipeline.py run -c {shlex.quote(f'{config.name}.yaml')}"
    with _moved_aside(store, problem, watcher) as is_aside:
        if not is_aside:
            return True, "replaced meanwhile by a run"
        execute(config, store, Selection(problem.stage, problem.stage, call=call), watcher)
    artifact = store.find(problem.stage, problem.name)
    assert artifact is not None
    if outdated := _made_from_another(store, artifact):
        return True, (
            f"made anew, as {recipe.source} did, but not the same to the last bit: the next run "
            f"of {config.name} makes {', '.join(outdated)} anew too"
        )
    return True, f"made anew, as {recipe.source} did"


def _other(step: Step, recipe: _Recipe) -> str:
    """Why it would be another artifact now."""
    if recipe.ingredients is None:
        why = "the code, the data or a library is another now"
    else:
        found = changes(recipe.ingredients, step.ingredients)
        more = f" and {len(found) - MOST_CHANGES} more" if len(found) > MOST_CHANGES else ""
        why = ", ".join(found[:MOST_CHANGES]) + more
    return f"cannot be made again: it would be {step.stage.name}/{step.key} now ({why})"


def _made_from_another(store: ArtifactStore, artifact: Artifact) -> list[str]:
    """The stages whose artifacts were made from what had this key before."""
    stages = []
    for stage in graph.STAGES:
        for path in (store.root / stage.name).glob("*/"):
            made = _manifest(path)
            source = made and made.manifest["inputs"].get(artifact.stage)
            if isinstance(source, dict) and source.get("key") == artifact.key:
                stages += [stage.name] if source != artifact.identity else []
    return list(dict.fromkeys(stages))
