"""What `gc` and `check` show: what would go, what is not as it was published."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from export.formats.format import readable_size
from pipeline.core.terminal import print_table
from pipeline.core.text import count_of
from pipeline.maintenance.find_garbage import Garbage, Kind, Piece
from pipeline.maintenance.integrity import Findings
from pipeline.store.stale_files import UNKNOWN

WIDE = 100
GIGABYTE = 1_000_000_000
UNPUBLISHED = {
    ".quarantine": "of what was damaged; deleted by: gc",
    ".scratch": "that stopped runs go on from; deleted by: gc --unfinished",
    ".staging": "that a run is writing, or was; what was left there is deleted by: gc",
}


def show_garbage(console: Console, garbage: Garbage) -> None:
    """One row for each thing that would go; then what stays, and how to have it go too."""
    if garbage.pieces:
        names = ("goes", "stage", "key", "made", "config", "size")
        rows = [_cells(piece, console.width >= WIDE) for piece in garbage.pieces]
        print_table(console, names, rows, right=(5,))
        console.print(_sum(garbage.pieces))
    for line in _spared(garbage):
        console.print(f"[dim]stays[/]  {escape(line)}")


def _cells(piece: Piece, is_wide: bool) -> tuple[str, ...]:
    return (
        f"[yellow]{piece.kind}[/]" if piece.kind is Kind.UNFINISHED else piece.kind.value,
        piece.stage,
        f"[dim]{escape(piece.key or piece.path.name)}[/]",
        _moment(piece.made, is_wide),
        escape(piece.config_name),
        size(piece.size_bytes),
    )


def _moment(made: str, is_wide: bool) -> str:
    """The day, on a wide terminal the minute too, by the clock on the wall."""
    try:
        moment = datetime.fromisoformat(made).astimezone()
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M}" if is_wide else f"{moment:%Y-%m-%d}"


def _sum(pieces: Sequence[Piece]) -> str:
    total = size(sum(piece.size_bytes for piece in pieces))
    counts = [(kind, sum(piece.kind is kind for piece in pieces)) for kind in Kind]
    words = [
        count_of(n, kind) if kind is Kind.OLD_RUN else f"{n} {kind}" for kind, n in counts if n
    ]
    return f"{total}: {', '.join(words)}"


def _spared(garbage: Garbage) -> list[str]:
    lines = []
    if garbage.unfinished:
        total = size(sum(piece.size_bytes for piece in garbage.unfinished))
        stages = ", ".join(dict.fromkeys(piece.stage for piece in garbage.unfinished))
        lines.append(
            f"{total} that stopped runs go on from ({stages}); --unfinished deletes it too"
        )
    for machine, count in garbage.elsewhere.items():
        whose = "an unknown program" if machine == UNKNOWN else f"machine {machine}"
        lines.append(
            f"{count} in .staging and .claims, of {whose}, which may be at work; if it is not: "
            f"--machine {machine}"
        )
    return lines


def show_findings(console: Console, findings: Findings) -> None:
    """One line for each problem and remark, then how much was read."""
    for problem in findings.problems:
        console.print(
            f"[red]{problem.kind:<10}[/]  {escape(problem.place)}  {escape(problem.what)}"
        )
    for remark in findings.remarks:
        console.print(f"[dim]{'remark':<10}[/]  {escape(remark)}")
    for name, (number, size_bytes) in findings.unpublished.items():
        if number:
            what = f"{size(size_bytes)} {UNPUBLISHED[name]}"
            console.print(f"[dim]{'remark':<10}[/]  {name}  {what}")
    wrong = count_of(len(findings.problems), "problem") if findings.problems else "all as published"
    console.print(
        f"{count_of(findings.artifacts, 'artifact')} and {count_of(findings.runs, 'run')}, "
        f"{size(findings.size_bytes)} read: {wrong}"
    )


def size(size_bytes: int) -> str:
    """For a person: `45 kB`, `1.2 MB` or `3.4 GB`."""
    if size_bytes >= GIGABYTE:
        return f"{size_bytes / GIGABYTE:.1f} GB"
    return readable_size(size_bytes)
