"""Commands that look at what was made: status, runs, show."""

from typing import Annotated

import typer

from pipeline import runs, tables
from pipeline.commands import (
    DEFAULT_ARTIFACTS,
    DEFAULT_CONFIG,
    ArtifactsOption,
    ConfigOption,
    OverridesArgument,
    console,
)
from pipeline.config_loading import load_config
from pipeline.runner import plan
from pipeline.selection import Selection
from pipeline.store import ArtifactStore


def status(
    overrides: OverridesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Say which stages are up to date, and why others are not."""
    loaded = load_config(config, overrides or ())
    tables.show_plan(console, plan(loaded, ArtifactStore(artifacts), Selection()))


def list_runs(artifacts: ArtifactsOption = DEFAULT_ARTIFACTS) -> None:
    """List the runs, oldest first."""
    tables.show_runs(console, runs.list_runs(ArtifactStore(artifacts)))


def show(
    name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run; the latest if none.")
    ] = None,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Show a run: its stages, its formats and where its report is."""
    found = runs.find_run(ArtifactStore(artifacts), name)
    tables.show_stages(console, found)
    tables.show_run(console, found)
