"""The program: which commands there are, and how each error ends it.

A command's module is imported when the command is called, or its help asked for.
"""

import gc
import importlib
import logging
import os
import sys
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from pipeline.cli.help import PlainCommand, main_options, page
from pipeline.core.command_hints import PROGRAM
from pipeline.core.errors import ConfigError, PipelineError, StageError
from pipeline.core.os_errors import disk_trouble
from pipeline.core.signals import GOES_ON, Interrupted, interruptible

LONGEST_LINE = 2000
COMPLETION = "_EVENKEEL_COMPLETE"
"""The variable by which a shell asks for what may be typed next."""


class Command(NamedTuple):
    """A command before it is imported.

    Attributes:
        function: its module in `pipeline.cli`, and its name there.
        help: the first line of its docstring.
    """

    function: str
    help: str


COMMANDS: Mapping[str, Command] = {
    "run": Command("run:run", "Run the stages for which something has changed."),
    "export": Command("run:export", "Evaluate, export and verify a trained model of your own."),
    "status": Command("status:status", "Say which stages are up to date, and why others are not."),
    "runs": Command("status:list_runs", "List the runs, oldest first."),
    "show": Command("status:show", "Show a run: its stages, its formats and where its report is."),
    "recommend": Command("status:recommend", "Say which format to ship."),
    "check-data": Command(
        "check_data:check_data", "Check the images as ingest would; train and publish nothing."
    ),
    "predict": Command(
        "predict:predict", "Classify pictures, or the rows of a table, with a format."
    ),
    "check-golden": Command("predict:check_golden", "Ask a format about the golden images again."),
    "demo": Command("predict:demo", "Draw and classify in a browser with the exported files."),
    "doctor": Command(
        "doctor:doctor", "Check libraries, devices and disk; test all on made-up images."
    ),
    "check": Command("gc:check", "Read every artifact; say which are not as they were published."),
    "gc": Command("gc:gc", "Delete what no run uses, and what is damaged or left over."),
    "schema": Command(
        "schema:schema", "Print the JSON schema by which editors complete a config's keys."
    ),
    "push": Command("remote:push", "Copy a run and all that it was made from to another place."),
    "pull": Command("remote:pull", "Copy a pushed run, and all that it was made from, to here."),
}


class Commands(TyperGroup):
    """The commands, each with the whole line that says what it does."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].function.partition(":")
        found = importlib.import_module(f"pipeline.cli.{module}")
        gc.freeze()
        gc.enable()
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        epilog = getattr(found, "EPILOGS", {}).get(cmd_name)
        alone.command(cmd_name, cls=PlainCommand, epilog=epilog)(getattr(found, name))
        return typer.main.get_command(alone)

    def get_help(self, ctx: Any) -> str:
        return page(self, ctx, [(name, command.help) for name, command in COMMANDS.items()])


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Takes labelled images to a trained Keras CNN and to SavedModel, TFLite and ONNX "
    "files that proved on the whole test set that they answer as the model does.\n\n"
    "Without a command it runs the whole pipeline on configs/mnist.yaml; -c names another config. "
    "For photos in a folder for each class:\n\n"
    f"  {PROGRAM} -c configs/photos.yaml data.folder=my_photos",
)
app.callback()(main_options)


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if COMPLETION in os.environ:
        # Typer calls it itself only where it adds two options of its own to every help page.
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    if isinstance(sys.stdout, TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = [] if COMPLETION in os.environ else _with_command(sys.argv[1:])
        with interruptible():
            name = PROGRAM.split()[-1]
            sys.exit(
                app(args=arguments, prog_name=name, complete_var=COMPLETION, standalone_mode=False)
            )
    except Interrupted as interrupted:
        _fail(f"interrupted; {GOES_ON}", exit_code=interrupted.exit_code)
    except PipelineError as error:
        _fail(*map(str, error.args), exit_code=error.exit_code)
    except OSError as error:
        _fail(disk_trouble(error, "disk"), exit_code=StageError.exit_code)
    except typer.TyperException as error:
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        if message.startswith("Missing ") and (missing := getattr(error, "param", None)):
            message += f": {missing.help.rstrip('.')}"
        help_call = f"see {PROGRAM} {arguments[0]} --help"
        _fail(f"{message}; {help_call}", exit_code=ConfigError.exit_code)


def _fail(*messages: str, exit_code: int) -> None:
    from rich.text import Text

    from pipeline.core.terminal import create_console

    console = create_console(stderr=True)
    for message in messages:
        console.print(Text.assemble(("error", "red"), "  ", _one_line(message)))
    sys.exit(exit_code)


def _one_line(message: str) -> str:
    """The message with what would break its line or steer the terminal spelled out."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    if len(shown) <= LONGEST_LINE:
        return shown
    return f"{shown[: LONGEST_LINE * 2 // 3]} … {shown[-LONGEST_LINE // 3 :]}"


def _with_command(arguments: list[str]) -> list[str]:
    """Puts `run` first where no command is named."""
    if arguments and arguments[0] in (*COMMANDS, "--help", "-h", "--version"):
        return arguments
    from pipeline.cli.no_command import refuse_other_than_run

    refuse_other_than_run(arguments, tuple(COMMANDS))
    return ["run", *arguments]
