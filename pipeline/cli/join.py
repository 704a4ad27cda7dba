"""What `run --join` does: takes part in a search on another machine."""

import importlib
from collections.abc import Mapping

from pipeline.cli.options import console
from pipeline.config.base import check_address
from pipeline.config.schema import PipelineConfig
from pipeline.core.errors import ConfigError
from pipeline.core.progress import quiet_libraries
from pipeline.store.store import ArtifactStore
from pipeline.workflow.execute import Watcher, execute
from pipeline.workflow.graph import stages_of
from pipeline.workflow.selection import Selection


def refuse_beside_join(options: Mapping[str, object]) -> None:
    """Refuses options that were given beside `--join`.

    Raises:
        ConfigError: there are some.
    """
    if given := [name for name, value in options.items() if value]:
        raise ConfigError(f"--join stands alone; drop {', '.join(given)}")


def check_join(address: str, config: PipelineConfig) -> None:
    """Refuses what cannot be joined.

    Raises:
        ConfigError: the address is none, or the config searches nothing.
    """
    try:
        check_address(address)
    except ValueError as error:
        raise ConfigError(f"--join: {error}") from error
    if all(stage.name != "tune" for stage in stages_of(config)):
        raise ConfigError(f"--join: {config.name} has no search; set tune.enabled=true as there")


def join_search(
    config: PipelineConfig, store: ArtifactStore, address: str, watcher: Watcher
) -> None:
    """Makes the images ready here, and trains on them what the search at the address asks for."""
    check_join(address, config)
    steps = execute(config, store, Selection(last="ingest"), watcher)
    images = next(step.artifact for step in steps if step.stage.name == "ingest")
    assert images is not None
    with quiet_libraries():
        joining = importlib.import_module("pipeline.tuning.workers.join")
    longest = f"up to {joining.WAIT_SECONDS / 60:g} minutes"
    console.print(f"[bold]tune     [/] [dim]waiting for the search at {address}, {longest}")
    begun = joining.join(config, images.path, address, lambda: _say("joined the search"))
    _say(f"the search is over; {begun} of its trials ran here")


def _say(text: str) -> None:
    console.print(f"{'':<9} {text}")
