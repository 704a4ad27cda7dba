"""What commands show: plans, runs, formats, predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from export.formats.format import formats, readable_size
from pipeline.core.command_hints import PROGRAM
from pipeline.core.terminal import print_table
from pipeline.core.text import count_of
from pipeline.data.dataset_json import readable_name
from pipeline.workflow.plan import UNCHANGED, Step
from pipeline.workflow.runs import Run

if TYPE_CHECKING:
    from export.formats.recommendation import Candidate, Recommendation
    from export.formats.verdict import FormatVerdict, Micro, Verdict
    from export.verification.golden_replay import Replay
    from pipeline.data.quality.run_checks import Examination
    from pipeline.inference.pictures import Prediction

EXACT = 0.005
WIDE = 118
DASH = "–"
MOST_GROUPS = 3
MOST_CLASSES = 12


def show_plan(console: Console, steps: Sequence[Step]) -> None:
    """One line a stage: whether it would run, and why."""
    rows = [
        (
            step.stage.name,
            "[dim]up to date[/]" if step.artifact else "[bold]runs[/]",
            escape(step.reason),
        )
        for step in steps
    ]
    print_table(console, ("stage", "", "why"), rows)


def show_runs(console: Console, runs: Sequence[Run]) -> None:
    """One line a run."""
    if not runs:
        console.print(f"No runs yet. `{PROGRAM}` makes the first one.", markup=False)
        return
    names = ("run", "seconds", "images", "stages run", "last stage says")
    print_table(console, names, map(_run_cells, runs), right=(1,))


def _run_cells(run: Run) -> tuple[str, ...]:
    made = [s["stage"] for s in run.record["stages"] if s["reason"] != UNCHANGED]
    last = run.record["stages"][-1]
    return (
        escape(run.name),
        f"{run.record['seconds']:.0f}",
        escape(run.images),
        ", ".join(made) or "none",
        escape(f"{last['stage']}: {last['summary']}"),
    )


def show_stages(console: Console, run: Run) -> None:
    """What each stage of a run made."""
    rows = [
        (stage["stage"], f"[dim]{stage['key']}[/]", escape(stage["summary"]))
        for stage in run.record["stages"]
    ]
    print_table(console, ("stage", "key", "made"), rows)


def show_run(console: Console, run: Run) -> None:
    """The table of formats, if the run verified any, and where to look next."""
    verify, export = run.artifact("verify"), run.artifact("export")
    if verify and export:
        from export.formats import verdict

        console.print()
        show_formats(console, verdict.read(run.intact_artifact("verify") / verdict.FILE_NAME))
    evaluate = run.artifact("evaluate")
    places = {
        "report": evaluate and evaluate / "report.html",
        "verdict": verify and verify / "verdict.html",
        "formats": export,
        "run": run.path,
    }
    console.print()
    _show_places(console, places)


def _show_places(console: Console, places: Mapping[str, Path | None]) -> None:
    for name, path in places.items():
        if path and path.exists():
            console.print(f"{name:<8} {_shown(path)}", markup=False)


def show_formats(console: Console, verdict: "Verdict") -> None:
    """One line a format: what it is, how it answers, how fast, whether it passed."""
    names = ("format", "size", "accuracy", "to Keras", "agreement", "p50", "verdict")
    more = ("p95", "load", "file") if console.width >= WIDE else ()
    rows = [(*_figures(row), *_more_figures(row)[: len(more)]) for row in verdict.formats]
    print_table(console, (*names, *more), rows, right=(1, 2, 3, 4, 5, 7, 8))
    console.print(
        f"[dim]{verdict.test_images:,} test images; Keras {verdict.keras_accuracy:.2%}; p50 of "
        f"{count_of(verdict.timed_runs, 'run')} on one image, "
        f"{count_of(verdict.threads, 'thread')}, after {verdict.warmup_runs} to warm up"
    )
    for row in verdict.formats:
        if "microcontroller" in formats()[row.name].targets and row.size_bytes:
            console.print(f"[dim]{row.name} {_in_micro(row.micro)}")
    for row in verdict.failed:
        console.print(f"[red]{row.name}[/]  {escape(row.reason)}")


def _in_micro(micro: "Micro | None") -> str:
    if micro is None:
        return "was not asked in TensorFlow Lite Micro"
    if micro.absence:
        return f"was not run here in TensorFlow Lite Micro: {escape(micro.absence)}"
    if micro.refusal:
        return f"does not run in TensorFlow Lite Micro: {escape(micro.refusal)}"
    ties = f", {count_of(micro.near_ties, 'near tie')} aside" if micro.near_ties else ""
    return (
        f"in TensorFlow Lite Micro: {micro.different} of {micro.images:,} predictions differ from "
        f"LiteRT's{ties}; arena {readable_size(micro.arena_bytes or 0)}"
    )


def _figures(row: "FormatVerdict") -> tuple[str, ...]:
    return (
        row.name,
        DASH if row.size_bytes is None else readable_size(row.size_bytes),
        _shown_as("{:.2%}", row.accuracy),
        _points(row.accuracy_difference_points),
        _shown_as("{:.2%}", row.agreement),
        _shown_as("{:.3f} ms", row.latency_p50_ms),
        "[green]pass[/]" if row.passed else "[red]fail[/]",
    )


def _more_figures(row: "FormatVerdict") -> tuple[str, ...]:
    return (
        _shown_as("{:.3f} ms", row.latency_p95_ms),
        _shown_as("{:.1f} ms", row.load_ms),
        row.file,
    )


def show_findings(console: Console, examination: "Examination") -> None:
    """One row a finding with some examples; then how many images were looked at."""
    if examination.findings:
        rows = []
        for finding in examination.findings:
            level = f"[{'red' if finding.level == 'fail' else 'yellow'}]{finding.level}[/]"
            rows.append((level, finding.check, escape(finding.message)))
            if finding.examples:
                groups = "; ".join(finding.groups[:MOST_GROUPS])
                rows.append(("", "", f"[dim]{escape(groups)}[/]"))
        print_table(console, ("level", "check", "what was found, and what to do"), rows)
    splits = examination.material.prepared.splits
    train, validation, test = (len(splits[name]) for name in ("train", "validation", "test"))
    found = "" if examination.findings else "Nothing found. "
    console.print(
        f"{found}To work with: {train:,} training, {validation:,} validation, {test:,} test images"
    )


def show_classes(console: Console, classes: Sequence[str], counts: Mapping[str, list[int]]) -> None:
    """One row a class with its images by split; of many classes the first, then how far others go.

    Args:
        console: where.
        classes: names, in label order.
        counts: images of each class, by split.
    """
    columns = [counts[split] for split in ("train", "validation", "test")]
    most = len(classes) if len(classes) <= MOST_CLASSES else MOST_CLASSES - 1
    rows = [
        (escape(readable_name(name)), *(f"{count:,}" for count in of_splits))
        for name, *of_splits in zip(classes[:most], *columns, strict=False)
    ]
    if others := len(classes) - most:
        rows.append((f"[dim]{others:,} more[/]", *(_range(column[most:]) for column in columns)))
    print_table(console, ("class", "training", "validation", "test"), rows, right=(1, 2, 3))


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}{DASH}{high:,}"


def show_recommendation(
    console: Console, result: "Recommendation", run: Run, remarks: Sequence[str] = ()
) -> None:
    """One line a format of the run, those that fit first; then the pick, why, and its file."""
    ordered = sorted(result.candidates, key=lambda candidate: bool(candidate.obstacle))
    rows = [_candidate_cells(candidate, result.pick) for candidate in ordered]
    names = ("format", "size", "accuracy", "p50", "runs from", "")
    print_table(console, names, rows, right=(1, 2, 3))
    note = "p50 of one image on the machine that verified"
    if result.was_busy:
        note = "p50 of one image, timed on a busy machine: p95 is far above it"
    if any(c.is_unbeaten and c.row.name != result.pick for c in result.candidates):
        note += "; unbeaten: no other is as good in accuracy, size and time and better in one"
    console.print(f"[dim]{note}")
    if result.pick:
        console.print(f"\n{escape(result.reason)}")
    for remark in remarks:
        console.print(f"[dim]{escape(remark)}")
    if result.pick or remarks:
        console.print()
    _show_places(console, {"file": _file_of(run, result.pick), "run": run.path})


def _file_of(run: Run, format_name: str | None) -> Path | None:
    export = run.artifact("export")
    return export / formats()[format_name].path if export and format_name else None


def _candidate_cells(candidate: "Candidate", pick: str | None) -> tuple[str, ...]:
    row = candidate.row
    remark = candidate.obstacle or ("unbeaten" if candidate.is_unbeaten else "")
    return (
        f"[bold]{row.name}[/]" if row.name == pick else row.name,
        DASH if row.size_bytes is None else readable_size(row.size_bytes),
        _shown_as("{:.2%}", row.accuracy),
        _shown_as("{:.3f} ms", row.latency_p50_ms),
        (row.content and row.content.runs_from) or DASH,
        "[green]ship this[/]" if row.name == pick else f"[dim]{escape(remark)}[/]",
    )


def show_predictions(console: Console, answers: Sequence["Prediction"]) -> None:
    """One line a picture."""
    names = ("file", "answer", "probability", "next", "read as")
    print_table(console, names, map(_prediction_cells, answers), right=(2,))


def _prediction_cells(answer: "Prediction") -> tuple[str, ...]:
    runners_up = ", ".join(f"{label} {share:.1%}" for label, share in answer.top[1:])
    return (
        escape(str(answer.file)),
        f"[bold]{escape(answer.label)}[/]",
        f"{answer.probability:.1%}",
        f"[dim]{escape(runners_up)}[/]",
        f"[dim]{escape(answer.polarity)}[/]",
    )


def show_replay(console: Console, replay: "Replay") -> None:
    """How many of the golden images were answered as before, and which were not."""
    agree = replay.images - len(replay.wrong)
    console.print(
        f"{agree} of {replay.images} agree; largest difference {replay.largest_difference:.2g}, "
        f"allowed {replay.tolerance:g}"
    )
    console.print(
        f"[dim]asked {escape(replay.runtime)}; recorded with {escape(replay.recorded_runtime)}"
    )
    if replay.wrong:
        console.print(f"[red]off[/]  {escape(', '.join(replay.wrong))}")


def _shown_as(pattern: str, value: float | None) -> str:
    return DASH if value is None else pattern.format(value)


def _points(value: float | None) -> str:
    is_exact = value is not None and abs(value) < EXACT
    return "0.00 pt" if is_exact else _shown_as("{:+.2f} pt", value)


def _shown(path: Path) -> str:
    """The path, relative to the working folder where it lies below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
