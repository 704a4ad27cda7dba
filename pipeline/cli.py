"""The commands and what they print; no logic."""

import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipeline import graph, runs, tables
from pipeline.config import PipelineConfig
from pipeline.config_layers import as_overrides
from pipeline.config_loading import load_config, suggest
from pipeline.config_model_file import range_of
from pipeline.errors import ConfigError, GateError, PipelineError, StageError
from pipeline.interruption import Interrupted, interruptible
from pipeline.plugins import ROOT
from pipeline.progress import progress_on, quiet_libraries
from pipeline.runner import UNCHANGED, Step, Watcher, execute, plan
from pipeline.selection import Selection
from pipeline.store import Artifact, ArtifactStore

DEFAULT_CONFIG = ROOT / "configs" / "mnist.yaml"
INTERRUPTED = 130
COMMANDS = ("run", "export", "status", "runs", "show", "predict")

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Takes labelled images to a trained Keras CNN and to SavedModel, TFLite and ONNX "
    "files that proved on the whole test set that they answer as the model does.\n\n"
    "Without a command it runs the whole pipeline on configs/mnist.yaml.",
)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class Polarity(StrEnum):
    """How a picture is drawn."""

    AUTO = "auto"
    LIGHT_ON_DARK = "light_on_dark"
    DARK_ON_LIGHT = "dark_on_light"


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
DEFAULT_ARTIFACTS = ROOT / "artifacts"


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        arguments = _with_command(sys.argv[1:])
        with interruptible():
            sys.exit(app(args=arguments, prog_name="run_pipeline.py", standalone_mode=False))
    except Interrupted:
        _fail("interrupted; the same command goes on from what is finished", INTERRUPTED)
    except PipelineError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(f"{error.filename or 'disk'}: {error.strerror or error}", StageError.exit_code)
    except typer.TyperException as error:
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        _fail(f"{message}; see python run_pipeline.py {arguments[0]} --help", ConfigError.exit_code)


def _fail(message: str, exit_code: int) -> None:
    for line in message.splitlines():
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"[red]error[/]  {escape(line)}"
        )
    sys.exit(exit_code)


def _with_command(arguments: list[str]) -> list[str]:
    """Puts `run` first where no command is named."""
    first = arguments[0] if arguments else ""
    if first in (*COMMANDS, "--help", "-h"):
        return arguments
    if first.endswith((".yaml", ".yml")):
        raise ConfigError(f"{first} is a config file; name it with -c {first}")
    if first and "=" not in first and not first.startswith("-"):
        raise ConfigError(f"no command {first!r}. {suggest(first, COMMANDS)}")
    return ["run", *arguments]


@app.command(epilog=f"Stages: {', '.join(graph.NAMES)}.")
def run(
    overrides: OverridesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
    stage: Annotated[str | None, StageOption("--stage", help="Run this stage alone.")] = None,
    first: Annotated[str | None, StageOption("--from", help="Start with this stage.")] = None,
    last: Annotated[str | None, StageOption("--to", help="Stop after this stage.")] = None,
    force: Annotated[
        list[str] | None, StageOption("--force", help="Run this stage even if nothing changed.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and why; run nothing.")
    ] = False,
) -> None:
    """Run the stages for which something has changed."""
    if stage and (first or last):
        raise ConfigError("--stage stands alone; drop it, or drop --from and --to")
    selection = Selection(
        first=stage or first or graph.NAMES[0],
        last=stage or last or graph.NAMES[-1],
        forced=frozenset(force or ()),
        call=_call(config, artifacts, overrides or ()),
    )
    loaded = load_config(config, overrides or ())
    store = ArtifactStore(artifacts)
    if dry_run:
        tables.show_plan(console, plan(loaded, store, selection))
        return
    _carry_out(loaded, store, selection)


def _carry_out(loaded: PipelineConfig, store: ArtifactStore, selection: Selection) -> None:
    started = datetime.now(UTC)
    steps = execute(loaded, store, selection, _watcher())
    if all(step.reason == UNCHANGED for step in steps):
        console.print("Nothing changed: every artifact is up to date.")
    recorded = runs.record_run(store, loaded, steps, started)
    tables.show_run(console, recorded)
    _end_by_verdict(steps)


def _call(config: Path, artifacts: Path, overrides: Sequence[str]) -> str:
    """The command that runs this config again, as a person would type it."""
    words = ["python", sys.argv[0], "run"]
    if config != DEFAULT_CONFIG:
        words += ["-c", str(config)]
    if artifacts != DEFAULT_ARTIFACTS:
        words += ["--artifacts", str(artifacts)]
    return shlex.join([*words, *overrides])


def _watcher() -> Watcher:
    def started(step: Step) -> None:
        console.print(f"[bold]{step.stage.name:<9}[/] [dim]{escape(step.reason)}", soft_wrap=True)

    def finished(step: Step, artifact: Artifact, seconds: float) -> None:
        summary = escape(artifact.manifest["summary"])
        console.print(f"{'':<9} {summary} [dim]({seconds:.1f} s)", soft_wrap=True)

    def warned(text: str) -> None:
        console.print(f"[yellow]warning[/]   {escape(text)}", soft_wrap=True)

    return Watcher(progress_on(console), started, finished, warned)


def _end_by_verdict(steps: tuple[Step, ...]) -> None:
    for step in steps:
        if step.artifact and step.artifact.manifest["metrics"].get("passed", 1) == 0:
            raise GateError(step.artifact.manifest["summary"])


@app.command()
def export(
    model: Annotated[
        Path, typer.Option("--model", metavar="FILE", help="A .keras file.", show_default=False)
    ],
    overrides: OverridesArgument = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="SOURCE", help="Where its images come from.")
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(metavar="LOW..HIGH", help="What it takes for pixels; 0..255 if not said."),
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="It lacks a softmax; add one.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Let the file run code: Lambda layers, own classes.")
    ] = False,
    code: Annotated[
        Path | None, typer.Option(metavar="FILE.py", help="Defines its own classes; it is run.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Evaluate, export and verify a trained model of your own."""
    settings = {
        "train.model_file": str(model),
        "data.source": data,
        "train.pixel_range": pixels and range_of(pixels),
        "train.gives": "logits" if logits else None,
        "train.trust_model_file": trust or None,
        "train.model_code": code and str(code),
    }
    said = [*as_overrides(settings), *(overrides or ())]
    selection = Selection(call=_call(config, artifacts, said))
    _carry_out(load_config(config, said), ArtifactStore(artifacts), selection)


@app.command()
def status(
    overrides: OverridesArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Say which stages are up to date, and why others are not."""
    loaded = load_config(config, overrides or ())
    tables.show_plan(console, plan(loaded, ArtifactStore(artifacts), Selection()))


@app.command(name="runs")
def list_runs(artifacts: ArtifactsOption = DEFAULT_ARTIFACTS) -> None:
    """List the runs, oldest first."""
    tables.show_runs(console, runs.list_runs(ArtifactStore(artifacts)))


@app.command()
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


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="PNG or JPEG files.")],
    format_name: Annotated[
        str, typer.Option("--format", help="The exported format that answers.")
    ] = "tflite_float32",
    run_name: Annotated[
        str | None, typer.Option("--run", help="A run; the latest if none.")
    ] = None,
    polarity: Annotated[
        Polarity, typer.Option(help="How the pictures are drawn, if not as the training data.")
    ] = Polarity.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Classify picture files with an exported format."""
    folder = runs.find_run(ArtifactStore(artifacts), run_name, "export").path / "export"
    with quiet_libraries():
        from pipeline.prediction import predict as classify

        answers = classify(files, folder, format_name, polarity.value)
    if as_json:
        print(json.dumps([answer.as_json() for answer in answers], indent=2))  # noqa: T201
    else:
        tables.show_predictions(console, answers)
