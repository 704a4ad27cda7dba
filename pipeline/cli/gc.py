"""Commands that keep the artifacts folder in order: gc, check."""

import sys
from typing import Annotated

import typer

from pipeline.cli import maintenance_tables
from pipeline.cli.options import DEFAULT_ARTIFACTS, ArtifactsOption, console
from pipeline.core.errors import ConfigError, DamagedArtifactError, StageError
from pipeline.core.progress import progress_on
from pipeline.core.text import count_of
from pipeline.maintenance import integrity
from pipeline.maintenance.delete_garbage import collect, refuse_unwritable
from pipeline.maintenance.find_garbage import Garbage, Rules, find_garbage
from pipeline.store.store import ArtifactStore


def check(artifacts: ArtifactsOption = DEFAULT_ARTIFACTS) -> None:
    """Read every artifact; say which are not as they were published.

    Every file is compared with its SHA-256, every run with the artifacts that it used. `status`
    and `run` look at sizes alone, until a stage reads a file. Ends with the calls that mend.
    """
    findings = integrity.check(ArtifactStore(artifacts), progress_on(console))
    maintenance_tables.show_findings(console, findings)
    if findings.problems:
        how = f"; mend with: {'; '.join(findings.calls)}" if findings.calls else ""
        raise DamagedArtifactError(
            f"{artifacts}: {count_of(len(findings.problems), 'problem')}{how}"
        )


def gc(
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Keep the newest N runs of each config and last stage; all if not said.",
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
    """Delete what no run uses, and what is damaged or left over.

    Runs stay, with all that they used and what that was made from, unless --keep lets older ones
    go. What a stopped run has made stays too, until a later run of its config is complete; its
    checkpoints and trials stay until their stage is, or until --unfinished.
    """
    store = ArtifactStore(artifacts)
    rules = Rules(keep, unfinished, frozenset(machine or ()))
    garbage = find_garbage(store, rules)
    maintenance_tables.show_garbage(console, garbage)
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
    left = len(garbage.pieces) - len(gone) - len(failures)
    stays = f"; {left} came into use or went meanwhile" if left else ""
    freed = maintenance_tables.size(sum(piece.size_bytes for piece in gone))
    console.print(f"Deleted {len(gone)} of {len(garbage.pieces)}, {freed}{stays}.")
    if failures:
        raise StageError(*failures)
