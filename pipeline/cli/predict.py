"""Commands that use what was exported: predict, check-golden, demo."""

import csv
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from itertools import chain, tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.formats.format import formats
from pipeline.cli import tables
from pipeline.cli.options import DEFAULT_ARTIFACTS, ArtifactsOption, RunOption, console
from pipeline.core.command_hints import mends
from pipeline.core.errors import ConfigError, DamagedArtifactError, DataError, GateError
from pipeline.core.progress import progress_on, quiet_libraries
from pipeline.core.signals import Interrupted
from pipeline.core.text import count_of
from pipeline.inference.tables import (
    Tables,
    predict_table,
    refuse_target,
    replacing,
    requested_tables,
    two_columns,
)
from pipeline.store.artifact import MANIFEST, open_artifact
from pipeline.store.store import ArtifactStore
from pipeline.workflow import runs

if TYPE_CHECKING:
    from pipeline.inference.pictures import Prediction


class Polarity(StrEnum):
    """How a picture is drawn."""

    AUTO = "auto"
    LIGHT_ON_DARK = "light_on_dark"
    DARK_ON_LIGHT = "dark_on_light"


class Preparing(StrEnum):
    """Whether ink is looked for in a picture."""

    AUTO = "auto"
    INK = "ink"
    NONE = "none"


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="PNG, JPEG, BMP or WebP files, folders of them, or a CSV table of pixels or "
            "paths.",
        ),
    ],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"What answers: {', '.join(formats())}. If none, tflite_float32, or else the "
            "most exact that passed.",
        ),
    ] = None,
    run_name: RunOption = None,
    polarity: Annotated[
        Polarity, typer.Option(help="How the pictures are drawn, if not as the training data.")
    ] = Polarity.AUTO,
    preparing: Annotated[
        Preparing,
        typer.Option(
            "--prepare",
            help="Find the ink and lay it out as in training; auto does where training images "
            "are ink.",
        ),
    ] = Preparing.AUTO,
    show: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Writes here each picture beside what the model saw."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Gets the answers as CSV.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE,CLASS",
            help="The header of that CSV: ImageId,Label for a table of pixels, else file,label.",
        ),
    ] = None,
    image_folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the paths in a table start, if not beside it."),
    ] = None,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Classify pictures, or the rows of a table, with a format."""
    table = requested_tables(files, output, columns)
    for_pictures = as_json or show or (polarity.value, preparing.value) != ("auto", "auto")
    if table and for_pictures:
        raise ConfigError(
            "--json, --polarity, --prepare and --show are for pictures; leave them out with a table"
        )
    if show and show.suffix.lower() != ".png":
        raise ConfigError(f"--show needs the name of a file that ends in .png, not {str(show)!r}")
    if as_json and output:
        raise ConfigError("--json and --output are two places for the answers; give one")
    if columns and not output:
        raise ConfigError("--columns is for the table of --output; name that too")
    if image_folder and not table:
        raise ConfigError("--image-folder is for a table of paths; leave it out with pictures")
    run = runs.find_run(ArtifactStore(artifacts), run_name, "export")
    folder = run.intact_artifact("export")
    format_name = format_name or _usual_format(run, folder)
    if table:
        table = replace(table, image_folder=image_folder)
        _predict_table(table, folder, format_name, run)
        return
    refused: list[DataError] = []
    with quiet_libraries():
        from export.formats import contract
        from pipeline.inference import pictures, sheet

        found = pictures.pictures_in(files, refused.append)
        answers = pictures.predict(
            found, folder, format_name, polarity.value, refused.append, preparing.value
        )
        if output:
            refuse_target(output, found)
        if show:
            refuse_target(show, found, "--show")
            sheet.refuse(show)
        answers, again = tee(answers) if show else (answers, answers)
        count = _write_answers(output, two_columns(columns), answers) if output else 0
        shown = list(again)
        if show and shown:
            wanted = pictures.wanted_input(contract.read(folder), preparing.value)
            on_sheet = sheet.write(show, shown, wanted, polarity.value)
    if count:
        console.print(f"{count_of(count, 'picture')} answered in {output}", markup=False)
        _say_who_answered(format_name, run)
    elif not output:
        _show_answers(shown, format_name, None if as_json else run)
    if show and shown and not as_json:
        some = (
            "" if on_sheet == len(shown) else f"the first {on_sheet} of {len(shown):,} pictures, "
        )
        console.print(f"{some}beside what the model saw: {show}", markup=False, style="dim")
    if refused:
        raise DataError(*map(str, refused))


def _usual_format(run: runs.Run, exported: Path) -> str:
    from export.formats import verdict

    with quiet_libraries():
        from pipeline.inference.pictures import USUAL, usual_format

        name = usual_format(exported)
        if name == USUAL or not run.artifact("verify"):
            return name
        verified = verdict.read(run.intact_artifact("verify") / verdict.FILE_NAME)
        return usual_format(exported, [row.name for row in verified.failed])


def _write_answers(
    output: Path, columns: tuple[str, str] | None, answers: Iterable["Prediction"]
) -> int:
    """A row a picture: with its probability, unless two columns were asked for.

    Returns:
        How many; of none, no file is written.
    """
    answers = iter(answers)
    first, count = next(answers, None), 0
    if first is None:
        return 0
    with replacing(output) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns or ("file", "label", "probability"))
        for answer in chain([first], answers):
            row = (answer.file, answer.label, f"{answer.probability:.4f}")
            writer.writerow(row[:2] if columns else row)
            count += 1
    return count


def _show_answers(answers: Sequence["Prediction"], format_name: str, run: runs.Run | None) -> None:
    """As a table, with the run that answered; as JSON without one."""
    if run is None:
        print(json.dumps([answer.as_json() for answer in answers], indent=2))  # noqa: T201
    elif answers:
        tables.show_predictions(console, answers)
        _say_who_answered(format_name, run)


def _say_who_answered(format_name: str, run: runs.Run) -> None:
    console.print(f"answered by {format_name} of run {run.name}", markup=False)


def _predict_table(table: Tables, folder: Path, format_name: str, run: runs.Run) -> None:
    with quiet_libraries():
        done = predict_table(table, folder, format_name, progress_on(console))
    told = f"{count_of(done.images, 'image')} answered in {table.answers}"
    console.print(told, markup=False)
    if done.labelled:
        console.print(
            f"accuracy {done.right / done.labelled:.2%}: {done.right:,} of {done.labelled:,} as "
            "its labels say",
            highlight=False,
        )
    if done.doubt:
        console.print(f"warning  {done.doubt}", markup=False, highlight=False)
    _say_who_answered(format_name, run)


def check_golden(
    folder: Annotated[
        Path, typer.Argument(metavar="GOLDEN", help="A golden folder, as verify makes it.")
    ],
    format_name: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="The format that answers; must be said."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its file or folder; that of the run if none."),
    ] = None,
    run_name: RunOption = None,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Ask a format about the golden images again."""
    _refuse_damaged(Path(os.path.realpath(folder)).parent)  # resolve() raises on loops of links
    if format_name is None:
        with quiet_libraries():
            from export.verification.golden_replay import held_formats

            held = ", ".join(held_formats(folder))
        raise ConfigError(f"name the format that answers with --format; {folder} holds {held}")
    found = None if model else runs.find_run(ArtifactStore(artifacts), run_name, "export")
    place = found.intact_artifact("export") if found else model
    assert place is not None
    with quiet_libraries():
        from export.verification.golden_replay import replay

        result = replay(folder, format_name, place)
    tables.show_replay(console, result)
    if result.wrong:
        raise GateError(f"{format_name} does not answer as it did when {folder} was made")


def _refuse_damaged(verify: Path) -> None:
    """Refuses a golden folder in an artifact that is not as it was published."""
    if (verify / MANIFEST).exists() and (damage := open_artifact(verify).damage):
        raise DamagedArtifactError(f"{damage}; {mends(verify.resolve().parent.parent)}")


def demo(
    run_name: RunOption = None,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="NUMBER", help="Where it listens; 0 is any that is free."
        ),
    ] = 8000,
    artifacts: ArtifactsOption = DEFAULT_ARTIFACTS,
) -> None:
    """Draw and classify in a browser with the exported files."""
    from export.deployment import demo_server as server

    run = runs.find_run(ArtifactStore(artifacts), run_name, "export")
    exported = run.intact_artifact("export")
    verify = run.intact_artifact("verify") if run.artifact("verify") else None
    modules = server.install(exported / "runtimes" / "web", artifacts / ".npm")
    with suppress(Interrupted):
        server.serve(exported, verify and verify / "golden", modules, port, _say_where)


def _say_where(address: str) -> None:
    console.print(f"open  {address}\nstop  Ctrl-C", markup=False)
