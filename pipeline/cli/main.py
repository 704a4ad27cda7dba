"""The program: which commands there are, and how each error ends it."""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from itertools import pairwise

import typer
from rich.text import Text

from pipeline.cli import check_data, doctor, gc, help, predict, remote, run, status
from pipeline.config.schema import PipelineConfig
from pipeline.config.suggestions import nearest, suggest
from pipeline.core.errors import ConfigError, PipelineError, StageError
from pipeline.core.os_errors import disk_trouble
from pipeline.core.signals import GOES_ON, Interrupted, interruptible
from pipeline.core.terminal import create_console
from pipeline.workflow import graph

LONGEST_LINE = 2000
COMMANDS: Mapping[str, Callable[..., None]] = {
    "run": run.run,
    "export": run.export,
    "status": status.status,
    "runs": status.list_runs,
    "show": status.show,
    "recommend": status.recommend,
    "check-data": check_data.check_data,
    "predict": predict.predict,
    "check-golden": predict.check_golden,
    "demo": predict.demo,
    "doctor": doctor.doctor,
    "check": gc.check,
    "gc": gc.gc,
    "push": remote.push,
    "pull": remote.pull,
}

app = typer.Typer(
    cls=help.PlainGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Takes labelled images to a trained Keras CNN and to SavedModel, TFLite and ONNX "
    "files that proved on the whole test set that they answer as the model does.\n\n"
    "Without a command it runs the whole pipeline on configs/mnist.yaml; -c names another config. "
    "For photos in a folder for each class:\n\n"
    "  python run_pipeline.py -c configs/photos.yaml data.folder=my_photos",
)
app.callback()(help.main_options)
for _name, _command in COMMANDS.items():
    _epilog = f"Stages: {', '.join(graph.NAMES)}." if _name == "run" else None
    app.command(_name, cls=help.PlainCommand, epilog=_epilog)(_command)


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if isinstance(sys.stdout, TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = _with_command(sys.argv[1:])
        with interruptible():
            sys.exit(app(args=arguments, prog_name="run_pipeline.py", standalone_mode=False))
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
        help_call = f"see python run_pipeline.py {arguments[0]} --help"
        _fail(f"{message}; {help_call}", exit_code=ConfigError.exit_code)


def _fail(*messages: str, exit_code: int) -> None:
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
    first = arguments[0] if arguments else ""
    if first in (*COMMANDS, "--help", "-h", "--version"):
        return arguments
    if first.endswith((".yaml", ".yml")):
        raise ConfigError(f"{first} is a config file; name it with -c {shlex.quote(first)}")
    if first in graph.NAMES:
        raise ConfigError(f"no command {first!r}. It is a stage: {_calling_stage(first)}")
    is_setting = "=" in first or first.partition(".")[0] in PipelineConfig.model_fields
    if first and not is_setting and not first.startswith("-"):
        raise ConfigError(f"no command {first!r}. {_meant(first)}")
    for place, (before, word) in enumerate(pairwise(arguments), 1):
        if word in COMMANDS and (before == "--dry-run" or not before.startswith("-")):
            others = [*arguments[:place], *arguments[place + 1 :]]
            raise ConfigError(f"put the command first: {shlex.join([word, *others])}")
    return ["run", *arguments]


def _meant(name: str) -> str:
    stage = None if nearest(name, tuple(COMMANDS)) else nearest(name, graph.NAMES)
    hint = f"Did you mean {_calling_stage(stage)}? " if stage else ""
    return hint + suggest(name, tuple(COMMANDS))


def _calling_stage(name: str) -> str:
    return f"run --stage {name}"
