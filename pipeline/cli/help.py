"""A command's help page in plain words: no types of Python, every word and every example whole."""

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

NARROWEST, WIDEST = 50, 80
LONGEST_NAME = 30
Row = tuple[str, str]


class PlainCommand(TyperCommand):
    """A command whose arguments are shown by their names alone."""

    def get_help(self, ctx: Any) -> str:
        return page(self, ctx)


def page(command: Any, ctx: Any, commands: Sequence[Row] = ()) -> str:
    """What it is, its arguments and options, and the commands below it, each with its line."""
    parameters = [(each, each.get_help_record(ctx)) for each in command.get_params(ctx)]
    arguments, options = [], []
    for parameter, record in parameters:
        if record and isinstance(parameter, TyperArgument):
            arguments.append((parameter.display_name_raw, record[1]))
        elif record:
            options.append(record)
    titled = (("Arguments", arguments), ("Options", options), ("Commands", commands))
    blocks = [
        f"Usage: {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}",
        *_paragraphs(command.help),
        *(f"{title}:\n{_listed(rows)}" for title, rows in titled if rows),
        *_paragraphs(command.epilog),
    ]
    return "\n\n".join(blocks)


def _paragraphs(text: str | None) -> Iterable[str]:
    """Each as it is if it is indented, for it may be copied; else in lines of whole words."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        is_example = paragraph.startswith(" ")
        lines = paragraph.splitlines() if is_example else _lines(" ".join(paragraph.split()), 2)
        if paragraph:
            yield "\n".join(f"  {line}" for line in lines)


def _listed(rows: Sequence[Row]) -> str:
    """Two columns; a name that is too long for its own has a line of its own."""
    longest = max((len(name) for name, _ in rows if len(name) <= LONGEST_NAME), default=0)
    lines = []
    for name, text in rows:
        shown = _lines(text, longest + 4)
        first = shown.pop(0) if shown and len(name) <= longest else ""
        lines.append(f"  {name:<{longest}}  {first}".rstrip())
        lines += [f"{'':<{longest + 4}}{line}" for line in shown]
    return "\n".join(lines)


def _lines(text: str, indent: int) -> list[str]:
    """The text in lines that fit behind an indent; no name, path or option in it is broken."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST) - indent
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        import platform

        from pipeline.core import environment
        from pipeline.core.plugins import IS_INSTALLED

        found = environment.library_versions()
        libraries = ", ".join(
            f"{name} {found[name] or 'missing'}" for name in ("tensorflow", "keras")
        )
        if IS_INSTALLED:
            which = f" {environment.version('evenkeel') or 'of an unknown version'}"
        else:
            which = f", commit {environment.git_commit() or 'unknown'}"
        typer.echo(f"Evenkeel{which}; Python {platform.python_version()}, {libraries}")
        raise typer.Exit


def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Say which it is."),
    ] = False,
) -> None:
    """What stands before the command; the help page of all is that of the app."""
