"""Commands that make artifacts: run, export."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli import tables
from pipeline.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_CONFIG,
    ArtifactsOption,
    ConfigOption,
    OverridesArgument,
    StageOption,
    console,
)
from pipeline.config.layers import as_overrides
from pipeline.config.loading import load_config
from pipeline.config.schema import PipelineConfig
from pipeline.config.train.model_file import range_of
from pipeline.config.train.tf_config import is_assistant
from pipeline.core.command_hints import PROGRAM
from pipeline.core.errors import ConfigError, DivergedError, GateError, PipelineError, StageError
from pipeline.core.plugins import IS_INSTALLED
from pipeline.core.progress import progress_on
from pipeline.store.artifact import Artifact
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph, runs
from pipeline.workflow.execute import Watcher, execute
from pipeline.workflow.plan import UNCHANGED, Step, plan
from pipeline.workflow.references import with_folders
from pipeline.workflow.selection import Selection

EPILOGS = {"run": f"Stages: {', '.join(graph.NAMES)}."}
OPTIONS = {
    r"\btrust_model_file\b": "--trust",
    r"\bmodel_code\b": "--code {code}",
    r"\bgives=logits\b": "--logits",
    r"(?<!data\.)\bpixel_range=\[(?P<low>[^],]+),(?P<high>[^]]+)\]": "--pixels {low}..{high}",
    r"(?<!data\.)\bpixel_range\b": "--pixels LOW..HIGH",
}
"""What sets the settings of a model's file in a call of `export`; settings as errors name them."""


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
    join: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Take part in the search that listens there."),
    ] = None,
) -> None:
    """Run the stages for which something has changed."""
    if join:
        from pipeline.cli.join import join_search, refuse_beside_join

        others = {"--stage": stage, "--from": first, "--to": last, "--force": force}
        refuse_beside_join({**others, "--dry-run": dry_run})
    if stage and (first or last):
        raise ConfigError("--stage stands alone; drop it, or drop --from and --to")
    begin, end = stage or first or graph.NAMES[0], stage or last or graph.NAMES[-1]
    words = _words(config, overrides or ())
    selection = Selection(begin, end, frozenset(force or ()), _call(artifacts, words))
    loaded = with_folders(load_config(config, overrides or ()), artifacts)
    store = ArtifactStore(artifacts)
    if join:
        join_search(loaded, store, join, watcher())
        return
    if dry_run:
        tables.show_plan(console, plan(loaded, store, selection))
        return
    with _advised(partial(_call, artifacts, words)):
        _carry_out(loaded, store, selection, words)


@contextmanager
def _advised(call: Callable[..., str]) -> Iterator[None]:
    """Ends the error of a training that diverged with the call that takes what was kept of it."""
    try:
        yield
    except DivergedError as error:
        if error.kept is None:
            raise
        export_call = call("export", "--model", str(error.kept))
        raise StageError(f"{error}; to take them as they are: {export_call}") from error


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
    """Evaluate, export and verify a trained model of your own.

    What the config says of training and of a search does not count.
    """
    settings = {
        "train.model_file": str(model),
        "data.source": data,
        "train.pixel_range": pixels and range_of(pixels),
        "train.gives": "logits" if logits else None,
        "train.trust_model_file": trust or None,
        "train.model_code": code and str(code),
    }
    said = [*as_overrides(settings), *(overrides or ())]
    words = _words(config, said)
    selection = Selection(call=_call(artifacts, words))
    with _named_as_options(code):
        loaded = with_folders(load_config(config, said, is_trained=True), artifacts)
        named = loaded.model_copy(update={"name": model.stem})
        _carry_out(named, ArtifactStore(artifacts), selection, words)


@contextmanager
def _named_as_options(code: Path | None) -> Iterator[None]:
    """Ends each error that names settings with those options of `export` that set them."""
    file = shlex.quote(str(code)) if code else "FILE.py"
    try:
        yield
    except PipelineError as error:
        error.args = tuple(_with_options(str(text), file) for text in error.args)
        raise


def _with_options(message: str, code: str) -> str:
    told: dict[str, str] = {}
    for setting, option in OPTIONS.items():
        name = option.split()[0]
        if (found := re.search(setting, message)) and name not in message:
            told.setdefault(name, option.format(code=code, **found.groupdict()))
    return f"{message}; here that is {' '.join(told.values())}" if told else message


def _carry_out(
    loaded: PipelineConfig, store: ArtifactStore, selection: Selection, words: Sequence[str]
) -> None:
    if is_assistant(loaded.train):
        _assist(loaded, store, selection)
        return
    started = datetime.now(UTC)
    steps = execute(loaded, store, selection, watcher())
    if all(step.reason == UNCHANGED for step in steps):
        console.print("Nothing changed: every artifact is up to date.")
    recorded = runs.record_run(store, loaded, steps, started, words)
    tables.show_run(console, recorded)
    _end_by_verdict(steps)


def _assist(loaded: PipelineConfig, store: ArtifactStore, selection: Selection) -> None:
    """Comes as far as training; the first worker of the job does the rest, and records it."""
    if graph.NAMES.index(selection.first) <= graph.NAMES.index("train"):
        last = min(selection.last, "train", key=graph.NAMES.index)
        execute(loaded, store, replace(selection, last=last), watcher())
        store.drop_claim()
    console.print("This worker of the job has done its part; the first one does the rest.")


def _words(config: Path, overrides: Sequence[str]) -> list[str]:
    """The config and the overrides, as a person would type them."""
    return [*(("-c", str(config)) if config != DEFAULT_CONFIG else ()), *overrides]


def _call(artifacts: Path, words: Sequence[str], *command: str) -> str:
    """The command, or else `run`, with these words."""
    place = ("--artifacts", str(artifacts)) if artifacts != DEFAULT_ARTIFACTS else ()
    program = [PROGRAM] if IS_INSTALLED else ["python", sys.argv[0]]
    return shlex.join([*program, *(command or ("run",)), *words, *place])


def watcher() -> Watcher:
    """Tells on the terminal what stages do."""

    def started(step: Step) -> None:
        console.print(f"[bold]{step.stage.name:<9}[/] [dim]{escape(step.reason)}")

    def finished(step: Step, artifact: Artifact, seconds: float) -> None:
        summary = escape(artifact.manifest["summary"])
        console.print(f"{'':<9} {summary} [dim]({seconds:.1f} s)")

    def warned(text: str) -> None:
        console.print(f"[yellow]warning[/]   {escape(text)}")

    return Watcher(progress_on(console), started, finished, warned)


def _end_by_verdict(steps: tuple[Step, ...]) -> None:
    manifests = [step.artifact.manifest for step in steps if step.artifact]
    if failed := [m["summary"] for m in manifests if not m.get("passed", True)]:
        raise GateError(*failed)
