"""plan(): what would run, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config.schema import PipelineConfig
from pipeline.core.errors import ConfigError, DamagedArtifactError, MissingArtifactError
from pipeline.core.os_errors import trouble_is_a_stage_error
from pipeline.core.text import first_of
from pipeline.store.artifact import Artifact
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph
from pipeline.workflow.graph import Stage
from pipeline.workflow.keys import changes, ingredients, key_of
from pipeline.workflow.runs import Earlier
from pipeline.workflow.selection import Selection

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
    earlier = Earlier(store, config)
    for stage in stages:
        if graph.NAMES.index(stage.name) > graph.NAMES.index(selection.last):
            break
        inputs = {name: steps[name] for name in stage.inputs if name in steps}
        values = ingredients(config, stage, {name: step.key for name, step in inputs.items()})
        steps[stage.name] = _step(store, stage, values, inputs, selection, earlier)
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
    earlier: Earlier,
) -> Step:
    key = key_of(values)
    try:
        with trouble_is_a_stage_error(stage.name, store.root):
            artifact = store.find(stage.name, key)
            latest = None if artifact else earlier.latest(stage.name)
    except DamagedArtifactError as error:
        return Step(stage, values, key, None, f"damaged: {error}")
    if artifact is None or stage.name in selection.forced:
        why = FORCED if stage.name in selection.forced else _why(latest, values)
        return Step(stage, values, key, None, why)
    if artifact.manifest.get("may_pass"):  # not what fails each time
        return Step(stage, values, key, None, AGAIN)
    made = {name: step.artifact for name, step in inputs.items() if step.artifact}
    return unless_outdated(Step(stage, values, key, artifact, UNCHANGED), made)


def unless_outdated(step: Step, inputs: Mapping[str, Artifact]) -> Step:
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
    return first_of(differences or ["a setting is new"], 3)


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
