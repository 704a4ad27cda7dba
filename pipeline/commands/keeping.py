"""Commands that keep the artifacts folder in order: gc, check."""

import sys
from typing import Annotated

import typer

from pipeline import keeping_tables
from pipeline.collection import collect, refuse_unwritable
from pipeline.commands.options import DEFAULT_ARTIFACTS, ArtifactsOption, console
from pipeline.errors import ConfigError, StageError
from pipeline.garbage import Garbage, Rules, find_garbage
from pipeline.store import ArtifactStore


def gc(
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Keep the newest N runs of each config; all if not said."
        ),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Delete also what stopped runs would go on from.")
    ] = False,
    machine: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Nothing is at work any more on this other machine."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")
    ] = False,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Delete artifacts that no run uses, and what is damaged or left over.

    Runs stay, with all that they used and what that was made from, unless --keep lets older ones
    go. What a stopped run goes on from stays too, until a later run of its config is complete.
    """
    store = ArtifactStore(artifacts)
    rules = Rules(keep, unfinished, frozenset(machine or ()))
    garbage = find_garbage(store, rules)
    keeping_tables.show_garbage(console, garbage)
    if not garbage.pieces:
        console.print("Nothing to delete.")
    elif not dry_run:
        refuse_unwritable(store)
        if yes or _is_agreed():
            _carry_out(store, garbage, rules)
        else:
            console.print("Nothing deleted.")


def _is_agreed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("no terminal to ask on; --yes deletes all this, --dry-run only shows it")
    try:
        return console.input("Delete all this? y/N ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _carry_out(store: ArtifactStore, garbage: Garbage, rules: Rules) -> None:
    failures: list[str] = []
    gone = collect(store, garbage, rules, failures.append)
    in_use = len(garbage.pieces) - len(gone) - len(failures)
    stays = f"; {in_use} came into use meanwhile" if in_use else ""
    freed = keeping_tables.size(sum(piece.size_bytes for piece in gone))
    console.print(f"Deleted {len(gone)} of {len(garbage.pieces)}, {freed}{stays}.")
    if failures:
        raise StageError(*failures)
