"""plan(): what would run, and why; execute(): runs it and publishes what each stage made."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from pipeline import environment, graph
from pipeline.config import PipelineConfig
from pipeline.config_loading import with_values
from pipeline.errors import ConfigError, DamagedArtifactError, MissingArtifactError, StageError
from pipeline.fingerprint import changes, ingredients, key_of
from pipeline.graph import Stage
from pipeline.progress import Progress, quiet_libraries
from pipeline.stages import StageContext, StageResult
from pipeline.store import Artifact, ArtifactStore
from pipeline.yaml_reading import parse_yaml

FORCED = "forced"


@dataclass(frozen=True)
class Selection:
    """Which stages may run: `first` to `last`; `forced` ones run even when nothing changed."""

    first: str = graph.NAMES[0]
    last: str = graph.NAMES[-1]
    forced: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if graph.NAMES.index(self.first) > graph.NAMES.index(self.last):
            raise ConfigError(f"--from {self.first} comes after --to {self.last}; swap them")

    def allows(self, stage: str) -> bool:
        names = graph.NAMES
        return names.index(self.first) <= names.index(stage) <= names.index(self.last)


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
        DataError: outside data is missing or unreadable.
        MissingArtifactError: a stage outside the selection lacks its artifact.
    """
    steps: dict[str, Step] = {}
    for stage in graph.stages_of(config):
        if graph.NAMES.index(stage.name) > graph.NAMES.index(selection.last):
            break
        inputs = {name: steps[name].key for name in stage.inputs if name in steps}
        values = ingredients(config, stage, inputs)
        steps[stage.name] = _step(store, stage, values, selection)
    if selection.first != graph.NAMES[0]:
        _require_inputs(config, steps, selection)
        steps = {name: step for name, step in steps.items() if _matters(name, steps, selection)}
    return tuple(steps.values())


def _step(
    store: ArtifactStore, stage: Stage, values: Mapping[str, Any], selection: Selection
) -> Step:
    key = key_of(values)
    try:
        artifact = store.find(stage.name, key)
    except DamagedArtifactError as error:
        return Step(stage, values, key, None, f"damaged: {error}")
    if stage.name in selection.forced and selection.allows(stage.name):
        return Step(stage, values, key, None, FORCED)
    if artifact:
        return Step(stage, values, key, artifact, "nothing changed")
    return Step(stage, values, key, None, _why(store.latest(stage.name), values))


def _why(latest: Artifact | None, values: Mapping[str, Any]) -> str:
    if latest is None:
        return "not made yet"
    differences = changes(latest.manifest["ingredients"], values)
    more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
    return ", ".join(differences[:3]) + more


def _require_inputs(
    config: PipelineConfig, steps: Mapping[str, Step], selection: Selection
) -> None:
    """Each stage before the selection whose artifact the selection reads must have it."""
    for name, step in steps.items():
        needed = _matters(name, steps, selection) and not selection.allows(name)
        if needed and step.artifact is None:
            raise MissingArtifactError(
                f"{selection.first} needs the artifact of {name}, which is not there "
                f"({step.reason}); make it with: python run_pipeline.py run "
                f"-c configs/{config.name}.yaml --to {name}"
            )


def _matters(name: str, steps: Mapping[str, Step], selection: Selection) -> bool:
    if selection.allows(name):
        return True
    return any(name in s.stage.inputs for n, s in steps.items() if selection.allows(n))


def execute(
    config: PipelineConfig, store: ArtifactStore, selection: Selection, watcher: Watcher
) -> tuple[Step, ...]:
    """Runs what the plan says must run; gives the plan's steps, each with its artifact.

    A damaged artifact is set aside, and what it was is planned and made anew.

    Raises:
        PipelineError: a stage failed; what earlier stages published stays.
    """
    store.prepare()
    for _ in graph.STAGES:
        try:
            return _carry_out(config, store, plan(config, store, selection), watcher)
        except DamagedArtifactError as error:
            watcher.warned(str(error))
    raise StageError(f"{store.root}: artifacts keep getting damaged; check the disk")


def _carry_out(
    config: PipelineConfig, store: ArtifactStore, steps: Sequence[Step], watcher: Watcher
) -> tuple[Step, ...]:
    artifacts: dict[str, Artifact] = {}
    for step in steps:
        artifact = step.artifact or _make(config, store, step, artifacts, watcher)
        artifacts[step.stage.name] = artifact
    return tuple(replace(step, artifact=artifacts[step.stage.name]) for step in steps)


def _make(
    config: PipelineConfig,
    store: ArtifactStore,
    step: Step,
    artifacts: Mapping[str, Artifact],
    watcher: Watcher,
) -> Artifact:
    name = step.stage.name
    with store.lock(name, step.key):
        made_meanwhile = _find_or_set_aside(store, step, watcher)
        if made_meanwhile:
            return made_meanwhile
        inputs = {n: artifacts[n] for n in step.stage.inputs if n in artifacts}
        _refuse_damaged(store, inputs)
        watcher.started(step)
        start = monotonic()
        with store.staging(name, step.key) as folder:
            context = StageContext(
                config=_with_tuned_values(config, inputs),
                inputs={n: artifact.path for n, artifact in inputs.items()},
                output=folder,
                scratch=store.scratch(name, step.key),
                progress=watcher.progress,
            )
            result = _run(name, context)
            seconds = monotonic() - start
            artifact = store.publish(folder, _manifest(step, context.config, result, seconds))
        watcher.finished(step, artifact, seconds)
        return artifact


def _find_or_set_aside(store: ArtifactStore, step: Step, watcher: Watcher) -> Artifact | None:
    """What a rival published while we waited; a damaged artifact is moved out of the way."""
    try:
        return None if step.reason == FORCED else store.find(step.stage.name, step.key)
    except DamagedArtifactError as error:
        place = store.set_aside(step.stage.name, step.key)
        watcher.warned(f"{error}; moved to {place}")
        return None


def _refuse_damaged(store: ArtifactStore, inputs: Mapping[str, Artifact]) -> None:
    for name, artifact in inputs.items():
        if artifact.damage:
            place = store.set_aside(name, artifact.key)
            raise DamagedArtifactError(f"{artifact.damage}; moved to {place}, made anew")


def _run(name: str, context: StageContext) -> StageResult:
    try:
        with quiet_libraries():
            module = importlib.import_module(f"pipeline.stages.{name}")
        result = module.run(context)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StageError(f"{name}: {where}{error.strerror or error}") from error
    assert isinstance(result, StageResult)
    return result


def _with_tuned_values(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> PipelineConfig:
    if "tune" not in inputs:
        return config
    best = inputs["tune"].path / "best.yaml"
    return with_values(config, parse_yaml(best.read_text(encoding="utf-8"), str(best)) or {})


def _manifest(
    step: Step, config: PipelineConfig, result: StageResult, seconds: float
) -> dict[str, Any]:
    return {
        "stage": step.stage.name,
        "key": step.key,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "seconds": round(seconds, 2),
        "summary": result.summary,
        "metrics": dict(result.metrics),
        "inputs": step.ingredients["inputs"],
        "ingredients": step.ingredients,
        "config": config.model_dump(mode="json"),
        "environment": environment.describe(),
    }
