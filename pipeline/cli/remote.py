"""Commands that copy artifacts and runs to and from another place: push, pull."""

from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.maintenance_tables import size
from pipeline.cli.options import DEFAULT_ARTIFACTS, ArtifactsOption, RunOption, StageOption, console
from pipeline.config.suggestions import suggest
from pipeline.core.errors import ConfigError
from pipeline.core.progress import progress_on
from pipeline.core.text import count_of
from pipeline.remote.select import Choice
from pipeline.remote.transfer import Outcome
from pipeline.store.artifact import KEY
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph

UrlArgument = Annotated[
    str, typer.Argument(metavar="URL", help="A folder: s3://…, gs://…, file://…, or a path.")
]
OneStageOption = Annotated[
    str | None, StageOption("--stage", help="One artifact alone: its stage.")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="One artifact alone: its key.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every run and artifact.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Put it in the place of another that has its key.")
]


def push(
    url: UrlArgument,
    run: RunOption = None,
    stage: OneStageOption = None,
    key: KeyOption = None,
    everything: AllOption = False,
    replaces: ReplaceOption = False,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Copy a run and all that it was made from to another place.

    Every file is read back and compared with its SHA-256, and each manifest is written last, so
    that nothing half-copied counts there. Call it again after a kill: what is whole stays.
    """
    from pipeline.remote.push import push as push_to
    from pipeline.remote.remote_folder import open_remote_folder

    choice = _choice(run, stage, key, everything)
    far, store = open_remote_folder(url), ArtifactStore(artifacts)
    outcome = push_to(store, far, choice, progress_on(console), replaces=replaces)
    _show(outcome, "Pushed", "to", far.url)


def pull(
    url: UrlArgument,
    run: RunOption = None,
    stage: OneStageOption = None,
    key: KeyOption = None,
    everything: AllOption = False,
    replaces: ReplaceOption = False,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Copy a pushed run, and all that it was made from, to here.

    Every file is compared with its SHA-256 before its artifact is published. Call it again after
    a kill: the artifacts that are whole stay.
    """
    from pipeline.remote.pull import pull as pull_from
    from pipeline.remote.remote_folder import open_remote_folder

    choice = _choice(run, stage, key, everything)
    far, store = open_remote_folder(url), ArtifactStore(artifacts)
    outcome = pull_from(store, far, choice, progress_on(console), replaces=replaces)
    _show(outcome, "Pulled", "from", far.url)


def _choice(run: str | None, stage: str | None, key: str | None, everything: bool) -> Choice:
    if sum(map(bool, (run, stage or key, everything))) > 1:
        raise ConfigError("--run, --stage with --key and --all exclude each other; name one")
    if bool(stage) != bool(key):
        lacking = "--key" if stage else "--stage"
        raise ConfigError(f"--stage and --key name one artifact together; add {lacking}")
    if stage and stage not in graph.NAMES:
        raise ConfigError(f"--stage {stage!r}. {suggest(stage, graph.NAMES)}")
    if key and not KEY.fullmatch(key):
        raise ConfigError(f"--key {key!r} is no key: 16 hex digits, as `show` tells them")
    return Choice(run, (stage, key) if stage and key else None, everything)


def _show(outcome: Outcome, done: str, way: str, url: str) -> None:
    there = outcome.passed_over, outcome.runs_passed_over
    passed_over = f"; {_counts(*there)} there already" if any(there) else ""
    copied = f"{_counts(outcome.artifacts, outcome.runs)}, {size(outcome.size_bytes)},"
    console.print(f"{done} {copied} {way} {escape(url)}{passed_over}")


def _counts(artifacts: int, runs: int) -> str:
    return f"{count_of(artifacts, 'artifact')} and {count_of(runs, 'run')}"
