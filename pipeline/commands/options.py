"""Options that commands share, and where they print."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.plugins import ROOT

DEFAULT_CONFIG = ROOT / "configs" / "mnist.yaml"
DEFAULT_ARTIFACTS = ROOT / "artifacts"
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The config file.", show_default=False)
]
ArtifactsOption = Annotated[
    Path, typer.Option("--artifacts", help="The artifacts folder.", show_default=False)
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Overrides, such as train.epochs=5."),
]
StageOption = partial(typer.Option, metavar="STAGE")
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="A run; the latest if none.")
]
