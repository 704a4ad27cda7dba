"""Commands that look at what was made: status, runs, show, recommend."""

from typing import Annotated

import typer

from export.formats import recommendation
from export.formats.recommendation import TARGETS, Limits
from pipeline.cli import tables
from pipeline.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_CONFIG,
    WHICH_RUN,
    ArtifactsOption,
    ConfigOption,
    OverridesArgument,
    RunOption,
    console,
)
from pipeline.config.loading import load_config
from pipeline.config.suggestions import suggest
from pipeline.core.command_hints import PROGRAM
from pipeline.core.errors import ConfigError, GateError
from pipeline.store.store import ArtifactStore
from pipeline.workflow import runs
from pipeline.workflow.plan import plan
from pipeline.workflow.references import with_folders
from pipeline.workflow.selection import Selection


def status(
    overrides: OverridesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Say which stages are up to date, and why others are not."""
    loaded = with_folders(load_config(config, overrides or ()), artifacts)
    console.print(f"{config} in {artifacts}", markup=False)
    tables.show_plan(console, plan(loaded, ArtifactStore(artifacts), Selection()))


def list_runs(artifacts: ArtifactsOption = DEFAULT_ARTIFACTS) -> None:
    """List the runs, oldest first."""
    tables.show_runs(console, runs.list_runs(ArtifactStore(artifacts)))


def show(
    name: Annotated[str | None, typer.Argument(metavar="RUN", help=WHICH_RUN)] = None,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Show a run: its stages, its formats and where its report is."""
    found = runs.find_run(ArtifactStore(artifacts), name)
    tables.show_stages(console, found)
    tables.show_run(console, found)


def recommend(
    target: Annotated[str, typer.Option(metavar="TARGET", help=", ".join(TARGETS) + ".")],
    max_kb: Annotated[
        float | None, typer.Option(min=0, metavar="N", help="Largest file, of 1,000 bytes.")
    ] = None,
    max_ms: Annotated[
        float | None,
        typer.Option(min=0, metavar="N", help="Longest p50 of one image, as verified."),
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(min=0, max=100, metavar="X", help="In percent, such as 99.5.")
    ] = None,
    run_name: RunOption = None,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Say which format to ship."""
    if target not in TARGETS:
        raise ConfigError(f"--target {target!r}. {suggest(target, tuple(TARGETS))}")
    if min_accuracy is not None and 0 < min_accuracy <= 1:
        raise ConfigError(f"--min-accuracy {min_accuracy:g} is in percent; {100 * min_accuracy:g}?")
    from export.formats import contract, verdict

    limits = Limits(max_kb, max_ms, None if min_accuracy is None else min_accuracy / 100)
    found = runs.find_run(ArtifactStore(artifacts), run_name, "verify")
    rows = verdict.read(found.intact_artifact("verify") / verdict.FILE_NAME).formats
    result = recommendation.recommend(rows, target, limits)
    remarks = recommendation.remarks(contract.read(found.intact_artifact("export")), result, target)
    tables.show_recommendation(console, result, found, remarks)
    if result.pick is None:
        raise GateError(f"{result.reason}; {_way_out(result, limits)}")


def _way_out(result: recommendation.Recommendation, limits: Limits) -> str:
    if any(not candidate.row.passed for candidate in result.candidates):
        return f"`{PROGRAM} show` says why a format failed"
    if any((micro := candidate.row.micro) and micro.absence for candidate in result.candidates):
        return "verify it where TensorFlow Lite Micro runs, on Linux on x86-64"
    return "loosen a limit" if limits != Limits() else "export other formats"
