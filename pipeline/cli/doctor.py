"""The command that looks at the machine and the libraries: doctor."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.options import DEFAULT_ARTIFACTS, ArtifactsOption, console
from pipeline.core.errors import StageError
from pipeline.core.progress import progress_on
from pipeline.core.terminal import create_console
from pipeline.doctor.doctor import examine
from pipeline.doctor.finding import Finding

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}
LEVEL_WIDTH = 6
NAME_WIDTH = 14


def doctor(
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the self-test.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check libraries, devices and disk; test all on made-up images."""
    shown_on = create_console(stderr=True) if as_json else console
    findings = []
    for finding in examine(artifacts, progress_on(shown_on), with_self_test=not quick):
        findings.append(finding)
        if not as_json:
            _show(finding)
    failed = _names(findings, "fail")
    if as_json:
        result = {"findings": [asdict(finding) for finding in findings], "failed": failed}
        print(json.dumps(result, indent=2))  # noqa: T201
    if failed:
        raise StageError(f"{_count(failed)}: {', '.join(failed)}; do what stands below each")
    if not as_json:
        _show_end(findings)


def _show(finding: Finding) -> None:
    """A line for what was found and, where something can be done, one for that."""
    level = f"[{COLORS[finding.level]}]{finding.level:<{LEVEL_WIDTH}}[/]"
    console.print(f"{level}{finding.name:<{NAME_WIDTH}}{escape(finding.found)}")
    if finding.remedy:
        console.print(f"{'':<{LEVEL_WIDTH}}[bold]{escape(finding.remedy)}[/]")


def _show_end(findings: Sequence[Finding]) -> None:
    warned = _names(findings, "warn")
    said = f"; worth a look: {', '.join(warned)}" if warned else ""
    console.print(f"\nNothing stands in the way of a run{said}.")


def _names(findings: Sequence[Finding], level: str) -> list[str]:
    return list(dict.fromkeys(finding.name for finding in findings if finding.level == level))


def _count(names: Sequence[str]) -> str:
    return "1 check failed" if len(names) == 1 else f"{len(names)} checks failed"
