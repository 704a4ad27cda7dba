"""The command that looks at data before any training: check-data."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from pipeline.cli import tables
from pipeline.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_CONFIG,
    ConfigOption,
    OverridesArgument,
    console,
)
from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.progress import progress_on, quiet_libraries
from pipeline.core.terminal import create_console


def check_data(
    overrides: OverridesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write checks.json and the lists of files there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the images as ingest would; train and publish nothing."""
    loaded = load_config(config, overrides or ())
    place = _made(output or DEFAULT_ARTIFACTS)
    with quiet_libraries():
        from pipeline.data.ingest import inspect
        from pipeline.data.quality import run_checks
    shown_on = create_console(stderr=True) if as_json else console
    # Not in the system's place for temporary files: that may be memory.
    with TemporaryDirectory(prefix=".check-data-", dir=place) as scratch:
        found = inspect(loaded, Path(scratch), progress_on(shown_on))
        if output:
            run_checks.write(output, found)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))  # noqa: T201
    else:
        tables.show_classes(console, found.material.classes, found.class_counts)
        tables.show_findings(console, found)
    if found.failures:
        names = list(dict.fromkeys(finding.check for finding in found.failures))
        found_by, remedy = ", ".join(names), " ".join(f"data.checks.{n}=warn" for n in names)
        raise DataError(f"{loaded.name}: {found_by}: a run would end here; {remedy} goes on")


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be used ({error.strerror}). Name another folder as --output."
        ) from error
    return folder
