"""A command's help page in plain words: no types of Python, only the names of what is expected."""

import platform
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from pipeline import environment


class PlainCommand(TyperCommand):
    """A command whose arguments are shown by their names alone."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], []
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                if isinstance(parameter, TyperArgument):
                    arguments.append((parameter.display_name_raw, record[1]))
                else:
                    options.append(record)
        for title, records in (("Arguments", arguments), ("Options", options)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        found = environment.library_versions()
        libraries = ", ".join(
            f"{name} {found[name] or 'missing'}" for name in ("tensorflow", "keras")
        )
        commit = environment.git_commit() or "unknown"
        typer.echo(f"Evenkeel, commit {commit}; Python {platform.python_version()}, {libraries}")
        raise typer.Exit


def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Say which it is."),
    ] = False,
) -> None:
    """What stands before the command; the help page of all is that of the app."""
