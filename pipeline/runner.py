"""plan(): what would run, and why; execute(): runs it and publishes what each stage made."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from pipeline import environment, graph, library_trouble
from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.guarding import refuse_damaged, refuse_gone, refuse_replaced
from pipeline.artifacts.store import ArtifactStore
from pipeline.config import PipelineConfig
from pipeline.config_loading import with_values
from pipeline.disk_trouble import trouble_is_a_stage_error
from pipeline.errors import (
    ConfigError,
    DamagedArtifactError,
    DataError,
    MissingArtifactError,
    ReplacedArtifactError,
    StageError,
)
from pipeline.fingerprint import changes, ingredients, key_of, outside_files, outside_version
from pipeline.graph import Stage
from pipeline.progress import Progress, quiet_libraries
from pipeline.selection import Selection
from pipeline.stages import StageContext, StageResult
from pipeline.yaml_reading import parse_yaml

FORCED = "forced"
AGAIN = "a format failed last time"
UNCHANGED = "nothing changed"


@dataclass(frozen=True)
class Step:
    """One stage of a plan.

    Attributes:
        stage: the stage.
        ingredients: all that decides its artifact.
        key: of its artifact.
        artifact: the one that is already there and will be used, or None if the stage runs.
        reason: why it runs, or that it need not.
    """

    stage: Stage
    ingredients: Mapping[str, Any]
    key: str
    artifact: Artifact | None
    reason: str


@dataclass(frozen=True)
class Watcher:
    """Whom execute() tells what happens."""

    progress: Progress
    started: Callable[[Step], None]
    finished: Callable[[Step, Artifact, float], None]
    warned: Callable[[str], None]


def plan(config: PipelineConfig, store: ArtifactStore, selection: Selection) -> tuple[Step, ...]:
    """What each stage up to `selection.last` would do.

    Raises:
        ConfigError: the selection names a stage that this config has not.
        DataError: outside data is missing or unreadable.
        MissingArtifactError: a stage outside the selection lacks its artifact.
    """
    stages = graph.stages_of(config)
    for name in selection.named:
        if name not in {stage.name for stage in stages}:
            raise ConfigError(f"{config.name} has no stage {name}; {_how_to_have(name, config)}")
    steps: dict[str, Step] = {}
    for stage in stages:
        if graph.NAMES.index(stage.name) > graph.NAMES.index(selection.last):
            break
        inputs = {name: steps[name] for name in stage.inputs if name in steps}
        values = ingredients(config, stage, {name: step.key for name, step in inputs.items()})
        steps[stage.name] = _step(store, stage, values, inputs, selection, config.name)
    if selection.first != graph.NAMES[0]:
        _require_inputs(steps, selection)
        steps = {name: step for name, step in steps.items() if _matters(name, steps, selection)}
    return tuple(steps.values())


def _how_to_have(name: str, config: PipelineConfig) -> str:
    if config.train.model_file:
        return f"it takes {config.train.model_file} as it is"
    return f"set {name}.enabled=true"


def _step(
    store: ArtifactStore,
    stage: Stage,
    values: Mapping[str, Any],
    inputs: Mapping[str, Step],
    selection: Selection,
    config_name: str,
) -> Step:
    key = key_of(values)
    try:
        with trouble_is_a_stage_error(stage.name, store.root):
            artifact = store.find(stage.name, key)
            latest = None if artifact else store.latest(stage.name, config_name)
    except DamagedArtifactError as error:
        return Step(stage, values, key, None, f"damaged: {error}")
    if artifact is None or stage.name in selection.forced:
        why = FORCED if stage.name in selection.forced else _why(latest, values)
        return Step(stage, values, key, None, why)
    if artifact.manifest["metrics"].get("failed"):
        return Step(stage, values, key, None, AGAIN)
    made = {name: step.artifact for name, step in inputs.items() if step.artifact}
    return _unless_outdated(Step(stage, values, key, artifact, UNCHANGED), made)


def _unless_outdated(step: Step, inputs: Mapping[str, Artifact]) -> Step:
    """The step; it runs if an input was made anew since, under its old key, and came out other."""
    if step.artifact is not None:
        made_from = step.artifact.manifest["inputs"]
        for name, artifact in inputs.items():
            if made_from.get(name) != artifact.identity:
                return replace(step, artifact=None, reason=f"{name} was made anew")
    return step


def _why(latest: Artifact | None, values: Mapping[str, Any]) -> str:
    if latest is None:
        return "not made yet"
    differences = changes(latest.manifest["ingredients"], values)
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return ", ".join(differences[:3]) + more or "a setting is new"


def _require_inputs(steps: Mapping[str, Step], selection: Selection) -> None:
    """Each stage before the selection whose artifact the selection reads must have it."""
    missing = [
        name
        for name, step in steps.items()
        if step.artifact is None and _matters(name, steps, selection) and not selection.allows(name)
    ]
    if missing:
        name = missing[-1]
        raise MissingArtifactError(
            f"{_readers(name, steps, selection)[0]} needs the artifact of {name}, which is not "
            f"there ({steps[name].reason}); make it with: {selection.call} --to {name}"
        )


def _matters(name: str, steps: Mapping[str, Step], selection: Selection) -> bool:
    return selection.allows(name) or bool(_readers(name, steps, selection))


def _readers(name: str, steps: Mapping[str, Step], selection: Selection) -> list[str]:
    """The selected stages that read this stage's artifact."""
    return [n for n, s in steps.items() if selection.allows(n) and name in s.stage.inputs]


def execute(
    config: PipelineConfig, store: ArtifactStore, selection: Selection, watcher: Watcher
) -> tuple[Step, ...]:
    """Runs what the plan says must run; gives the plan's steps, each with its artifact.

    A damaged artifact is set aside, and what it was is planned and made anew.

    Raises:
        PipelineError: a stage failed; what earlier stages published stays.
    """
    made: set[str] = set()
    noting = _noting(watcher, made)
    damages = 0
    while damages < len(graph.STAGES):
        # What this run made once is not forced again: two runs would replace each other's for ever.
        steps = plan(config, store, replace(selection, forced=selection.forced - made))
        try:
            store.prepare(step.stage.name for step in steps if step.artifact is None)
            with trouble_is_a_stage_error(config.name, store.root):
                store.claim((step.stage.name, step.key) for step in steps)
            refuse_gone(step.artifact for step in steps)
            return _carry_out(config, store, steps, noting)
        except DamagedArtifactError as error:
            damages += not isinstance(error, ReplacedArtifactError)
            watcher.warned(str(error))
        except BaseException:
            store.tidy()
            raise
    raise StageError(f"{store.root}: artifacts keep getting damaged; check the disk")


def _noting(watcher: Watcher, made: set[str]) -> Watcher:
    """The watcher; the names of finished stages are noted too."""

    def finished(step: Step, artifact: Artifact, seconds: float) -> None:
        made.add(step.stage.name)
        watcher.finished(step, artifact, seconds)

    return replace(watcher, finished=finished)


def _carry_out(
    config: PipelineConfig, store: ArtifactStore, steps: Sequence[Step], watcher: Watcher
) -> tuple[Step, ...]:
    done: dict[str, Step] = {}
    artifacts: dict[str, Artifact] = {}
    for planned in steps:
        inputs = {name: artifacts[name] for name in planned.stage.inputs if name in artifacts}
        step = _unless_outdated(planned, inputs)
        artifact = step.artifact or _make(config, store, step, inputs, watcher)
        artifacts[step.stage.name] = artifact
        done[step.stage.name] = replace(step, artifact=artifact)
    last = graph.NAMES[-1]
    if last in artifacts:
        refuse_damaged(store, {last: artifacts[last]})  # no stage reads it, but the user does
    return tuple(done.values())


def _make(
    config: PipelineConfig,
    store: ArtifactStore,
    step: Step,
    inputs: Mapping[str, Artifact],
    watcher: Watcher,
) -> Artifact:
    name = step.stage.name

    def waiting() -> None:
        watcher.warned(f"{name}: another run is making the same artifact; waiting for it")

    with trouble_is_a_stage_error(name, store.root), store.lock(name, step.key, waiting):
        made_meanwhile = _find_or_set_aside(store, step, inputs, watcher)
        if made_meanwhile:
            return made_meanwhile
        refuse_damaged(store, inputs)
        watcher.started(step)
        start = monotonic()
        with store.staging(name, step.key) as folder:
            context = StageContext(
                config=_with_tuned_values(config, inputs),
                inputs={n: artifact.path for n, artifact in inputs.items()},
                output=folder,
                scratch=store.scratch(name, step.key),
                progress=watcher.progress,
                identity=key_of({"key": step.key, **{n: a.identity for n, a in inputs.items()}}),
            )
            result = _run(step, context)
            refuse_replaced(store, inputs)
            seconds = monotonic() - start
            manifest = {
                **_describe(step, inputs, result),
                "seconds": round(seconds, 2),
                "config": context.config.model_dump(mode="json"),
                "environment": environment.describe(),
            }
            artifact = store.publish(folder, manifest)
        watcher.finished(step, artifact, seconds)
        return artifact


def _run(step: Step, context: StageContext) -> StageResult:
    stage = step.stage
    library_trouble.refuse_small_limit(stage.name)
    with quiet_libraries():
        module = importlib.import_module(f"pipeline.stages.{stage.name}")
    with library_trouble.is_a_stage_error(stage.name):
        result: StageResult = module.run(context)
    if stage.outside_files:
        now = outside_version(outside_files(stage, context.config))
        if now != step.ingredients["outside"]:
            raise DataError(
                f"{stage.name}: files changed while they were read. Run again when they are "
                "complete."
            )
    return result


def _find_or_set_aside(
    store: ArtifactStore, step: Step, inputs: Mapping[str, Artifact], watcher: Watcher
) -> Artifact | None:
    """What a rival published while we waited; a damaged artifact is moved out of the way."""
    try:
        found = None if step.reason in (FORCED, AGAIN) else store.find(step.stage.name, step.key)
        return _unless_outdated(replace(step, artifact=found), inputs).artifact
    except DamagedArtifactError as error:
        place = store.set_aside(step.stage.name, step.key)
        watcher.warned(f"{error}; moved to {place}")
        return None


def _with_tuned_values(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> PipelineConfig:
    if "tune" not in inputs:
        return config
    best = inputs["tune"].path / "best.yaml"
    return with_values(config, parse_yaml(best.read_text(encoding="utf-8"), str(best)) or {})


def _describe(step: Step, inputs: Mapping[str, Artifact], result: StageResult) -> dict[str, Any]:
    return {
        "stage": step.stage.name,
        "key": step.key,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "summary": result.summary,
        "metrics": dict(result.metrics),
        "inputs": {name: artifact.identity for name, artifact in inputs.items()},
        "ingredients": step.ingredients,
    }
