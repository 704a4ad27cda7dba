"""Options that commands share, and where they print."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.core.plugins import HOME, ROOT
from pipeline.core.terminal import create_console

DEFAULT_CONFIG = ROOT / "configs" / "mnist.yaml"
DEFAULT_ARTIFACTS = HOME / "artifacts"
WHICH_RUN = "A run, a part of its name, or its config's; the latest if none."
console = create_console()

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The config file, or the name of one in configs; configs/mnist.yaml if none.",
        show_default=False,
    ),
]
ArtifactsOption = Annotated[
    Path,
    typer.Option("--artifacts", metavar="FOLDER", help="The artifacts folder.", show_default=False),
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Overrides, such as train.epochs=5."),
]
StageOption = partial(typer.Option, metavar="STAGE")
RunOption = Annotated[str | None, typer.Option("--run", metavar="RUN", help=WHICH_RUN)]
