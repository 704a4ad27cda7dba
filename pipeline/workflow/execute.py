"""execute(): runs what the plan says, and publishes what each stage made."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    runner = _Runner(config, store, watcher)
    damages = 0
    while damages < len(graph.STAGES):
        # What this run made once is not forced again: two runs would replace each other's for ever.
        steps = plan(config, store, replace(selection, forced=selection.forced - runner.made))
        _refuse_no_job(config, steps)
        try:
            store.prepare(step.stage.name for step in steps if step.artifact is None)
            with trouble_is_a_stage_error(config.name, store.root):
                store.claim(_uses(config, steps))
            refuse_gone(step.artifact for step in steps)
            return runner.carry_out(steps)
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


@dataclass(frozen=True)
class _Runner:
    """Carries plans out; `made` are the stages that it has finished."""

    config: PipelineConfig
    store: ArtifactStore
    watcher: Watcher
    made: set[str] = field(default_factory=set)

    def carry_out(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        done: dict[str, Step] = {}
        artifacts: dict[str, Artifact] = {}
        for planned in steps:
            inputs = {name: artifacts[name] for name in planned.stage.inputs if name in artifacts}
            step = unless_outdated(planned, inputs)
            artifact = step.artifact or self._make(step, inputs)
            artifacts[step.stage.name] = artifact
            done[step.stage.name] = replace(step, artifact=artifact)
        last = graph.NAMES[-1]
        if last in artifacts:  # no stage reads it, but the user does
            refuse_damaged(self.store, {last: artifacts[last]})
        return tuple(done.values())

    def _make(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        name, store = step.stage.name, self.store

        def waiting() -> None:
            self.watcher.warned(f"{name}: another run is making the same artifact; waiting for it")

        if name == "train" and is_assistant(self.config.train):
            return self._assist(step, inputs)
        with trouble_is_a_stage_error(name, store.root), store.lock(name, step.key, waiting):
            if made_meanwhile := self._find_or_set_aside(step, inputs):
                return made_meanwhile
            refuse_damaged(store, inputs)
            self.watcher.started(step)
            start = monotonic()
            with store.staging(name, step.key) as folder:
                context = self._context(step, inputs, folder)
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
            self.made.add(name)
            self.watcher.finished(step, artifact, seconds)
            return artifact

    def _context(self, step: Step, inputs: Mapping[str, Artifact], folder: Path) -> StageContext:
        return StageContext(
            config=_with_tuned_values(self.config, inputs),
            inputs={n: artifact.path for n, artifact in inputs.items()},
            output=folder,
            scratch=self.store.scratch(step.stage.name, step.key),
            progress=self.watcher.progress,
            identity=key_of({"key": step.key, **{n: a.identity for n, a in inputs.items()}}),
        )

    def _assist(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact:
        """Takes part in the work of another process, which publishes it; gives that."""
        name, store = step.stage.name, self.store
        self.watcher.started(step)
        with trouble_is_a_stage_error(name, store.root):
            with store.staging(name, step.key) as folder:
                _run(step, self._context(step, inputs, folder))
            with store.lock(name, step.key):  # until the other has published
                made = store.find(name, step.key)
        if made is None:
            raise StageError(
                f"{name}: the first worker of the job did not publish; see what it says, and "
                f"whether {store.root} is the same folder there"
            )
        return made

    def _find_or_set_aside(self, step: Step, inputs: Mapping[str, Artifact]) -> Artifact | None:
        """What a rival published while we waited; a damaged artifact is moved out of the way."""
        name, again = step.stage.name, step.reason in (FORCED, AGAIN)
        try:
            found = None if again else self.store.find(name, step.key)
            return unless_outdated(replace(step, artifact=found), inputs).artifact
        except DamagedArtifactError as error:
            self.watcher.warned(f"{error}; moved to {self.store.set_aside(name, step.key)}")
            return None


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
        "passed": result.passed,
        "may_pass": result.may_pass,
        "inputs": {name: artifact.identity for name, artifact in inputs.items()},
        "ingredients": step.ingredients,
    }
