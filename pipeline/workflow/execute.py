"""execute(): runs what the plan says, and publishes what each stage made."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from pipeline.config.loading import with_values
from pipeline.config.schema import PipelineConfig
from pipeline.config.strict_yaml import parse_yaml
from pipeline.config.train.tf_config import is_assistant, job_of
from pipeline.core import environment, os_errors
from pipeline.core.errors import DamagedArtifactError, DataError, ReplacedArtifactError, StageError
from pipeline.core.os_errors import trouble_is_a_stage_error
from pipeline.core.progress import Progress, quiet_libraries
from pipeline.store.artifact import Artifact
from pipeline.store.guards import refuse_damaged, refuse_gone, refuse_replaced
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph
from pipeline.workflow.keys import key_of, outside_files, outside_version
from pipeline.workflow.plan import AGAIN, FORCED, Step, plan, unless_outdated
from pipeline.workflow.references import named_in
from pipeline.workflow.selection import Selection
from pipeline.workflow.stage import StageContext, StageResult


@dataclass(frozen=True)
class Watcher:
    """Whom execute() tells what happens."""

    progress: Progress
    started: Callable[[Step], None]
    finished: Callable[[Step, Artifact, float], None]
    warned: Callable[[str], None]


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
        _refuse_no_job(config, steps)
        try:
            store.prepare(step.stage.name for step in steps if step.artifact is None)
            with trouble_is_a_stage_error(config.name, store.root):
                store.claim(_uses(config, steps))
            refuse_gone(step.artifact for step in steps)
            return _carry_out(config, store, steps, noting)
        except DamagedArtifactError as error:
            damages += not isinstance(error, ReplacedArtifactError)
            watcher.warned(str(error))
        except BaseException:
            store.tidy()
            raise
    raise StageError(f"{store.root}: artifacts keep getting damaged; check the disk")


def _uses(config: PipelineConfig, steps: Sequence[Step]) -> set[tuple[str, str]]:
    """The artifacts, by stage and key, that a run makes or may read."""
    named = named_in(config.train.model_dump(mode="json"))
    return {*((step.stage.name, step.key) for step in steps), *named}


def _refuse_no_job(config: PipelineConfig, steps: Sequence[Step]) -> None:
    """Refuses a training whose workers are not known before anything runs."""
    if any(step.stage.name == "train" and step.artifact is None for step in steps):
        job_of(config.train)


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
        step = unless_outdated(planned, inputs)
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

    if name == "train" and is_assistant(config.train):
        return _assist(config, store, step, inputs, watcher)
    with trouble_is_a_stage_error(name, store.root), store.lock(name, step.key, waiting):
        made_meanwhile = _find_or_set_aside(store, step, inputs, watcher)
        if made_meanwhile:
            return made_meanwhile
        refuse_damaged(store, inputs)
        watcher.started(step)
        start = monotonic()
        with store.staging(name, step.key) as folder:
            context = _context(config, store, step, inputs, folder, watcher.progress)
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


def _context(
    config: PipelineConfig,
    store: ArtifactStore,
    step: Step,
    inputs: Mapping[str, Artifact],
    folder: Path,
    progress: Progress,
) -> StageContext:
    return StageContext(
        config=_with_tuned_values(config, inputs),
        inputs={n: artifact.path for n, artifact in inputs.items()},
        output=folder,
        scratch=store.scratch(step.stage.name, step.key),
        progress=progress,
        identity=key_of({"key": step.key, **{n: a.identity for n, a in inputs.items()}}),
    )


def _assist(
    config: PipelineConfig,
    store: ArtifactStore,
    step: Step,
    inputs: Mapping[str, Artifact],
    watcher: Watcher,
) -> Artifact:
    """Takes part in the work of another process, which publishes it; gives that."""
    name = step.stage.name
    watcher.started(step)
    with trouble_is_a_stage_error(name, store.root):
        with store.staging(name, step.key) as folder:
            _run(step, _context(config, store, step, inputs, folder, watcher.progress))
        with store.lock(name, step.key):  # until the other has published
            made = store.find(name, step.key)
    if made is None:
        raise StageError(
            f"{name}: the first worker of the job did not publish; see what it says, and whether "
            f"{store.root} is the same folder there"
        )
    return made


def _run(step: Step, context: StageContext) -> StageResult:
    stage = step.stage
    os_errors.refuse_small_limit(stage.name)
    with quiet_libraries():
        module = importlib.import_module(f"pipeline.stages.{stage.name}")
    with os_errors.library_trouble_is_a_stage_error(stage.name):
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
        return unless_outdated(replace(step, artifact=found), inputs).artifact
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
