"""The terminal: consoles and tables that break no line, for it may hold a path or a command."""

import sys
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

WIDTH_OF_LOGS = 120
GAP = 2


def create_console(*, stderr: bool = False) -> Console:
    """A console that prints each line whole; a narrow terminal shows it in several rows."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        width=None if stream.isatty() else WIDTH_OF_LOGS,
        soft_wrap=True,
        highlight=False,
        emoji=False,  # `:one:` in a path is no emoji
    )


def print_table(
    console: Console, names: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """Prints columns under their names, each as wide as its widest cell.

    Args:
        console: where.
        names: of the columns.
        rows: a cell a column, in rich's markup.
        right: the columns that are flush right.
    """
    cells = [[Text.from_markup(cell, emoji=False) for cell in row] for row in rows]
    lines = [[Text(name, "dim") for name in names], *cells]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        for index, (cell, width) in enumerate(zip(line, widths, strict=True)):
            cell.align("right" if index in right else "left", width)
        whole = Text(" " * GAP).join(line)
        whole.rstrip()
        console.print(whole)
