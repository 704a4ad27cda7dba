"""check and gc as they are called: what they print, and their exit codes."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import gc, maintenance_tables
from pipeline.core.errors import ConfigError, DamagedArtifactError, StageError
from tests.command_line import call, call_here, console_of

STAGES = ("ingest", "tune", "build", "train", "evaluate", "export", "verify")


@pytest.fixture
def artifacts(smoke_run, tmp_path) -> Path:
    """A copy of the smoke run, file by file the same until one is replaced."""
    place = tmp_path / "artifacts"
    shutil.copytree(smoke_run, place, symlinks=True, copy_function=os.link)
    return place


@pytest.fixture
def shown(monkeypatch):
    console = console_of(80)
    monkeypatch.setattr(gc, "console", console)
    return lambda: console.file.getvalue().splitlines()


def spoil(path, byte=b"X"):
    data = path.read_bytes()
    path.unlink()  # the smoke run's own file is the same one
    path.write_bytes(byte + data[1:])


def test_a_damaged_artifact_is_named_with_the_call_that_makes_it_anew(artifacts):
    (build,) = artifacts.glob("build/*/")
    spoil(build / "summary.txt")
    checked = call_here("check", "--artifacts", artifacts)
    place = f"build/{build.name}"
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == (
        f"damaged     {place}  summary.txt is not the file that was published"
    )
    assert checked.stderr == (
        f"error  {artifacts}: 1 problem; mend with: python run_pipeline.py run "
        f"-c configs/smoke.yaml --force build --artifacts {artifacts}\n"
    )


def test_what_no_call_can_mend_is_left_to_the_user(artifacts, shown):
    (run,) = artifacts.glob("runs/*/")
    (run / "train").unlink()
    (run / "train").mkdir()
    with pytest.raises(DamagedArtifactError, match=r"1 problem$"):
        gc.check(artifacts=artifacts)
    assert "mend it yourself, or delete the run's folder" in shown()[0]


def test_gc_asks_and_takes_only_yes_for_an_answer(artifacts, shown, monkeypatch):
    (run,) = artifacts.glob("runs/*/")
    shutil.rmtree(run)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked = {"unfinished": True, "artifacts": artifacts}
    for answer in ("", "n", "all", EOFError):
        monkeypatch.setattr(Console, "input", answering(answer))
        gc.gc(**asked)
        assert shown()[-1] == "Nothing deleted."
    assert {path.parent.name for path in artifacts.glob("[!.]*/*/")} == set(STAGES)
    monkeypatch.setattr(Console, "input", answering(" Yes"))
    gc.gc(**asked)
    assert shown()[-1].startswith("Deleted 7 of 7, ")
    assert list(artifacts.iterdir()) == []


def answering(answer):
    def reply(console, prompt):
        assert prompt == "Delete all this? y/N "
        if answer is EOFError:
            raise EOFError
        return answer

    return reply


def test_gc_without_a_terminal_deletes_only_when_told_to(artifacts, shown):
    (run,) = artifacts.glob("runs/*/")
    other = run.with_name(run.name.replace("-smoke", "-smoke-2"))
    shutil.copytree(run, other, symlinks=True)
    gc.gc(keep=1, dry_run=True, artifacts=artifacts)
    header, row, _ = shown()
    assert header.split() == ["goes", "stage", "key", "made", "config", "size"]
    assert row.startswith(f"old run         {run.name[:15]}")
    refused = call("gc", "--keep", "1", "--artifacts", artifacts)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error  no terminal to ask on; --yes deletes all this, --dry-run only shows it\n"
    )
    assert run.is_dir()
    gc.gc(keep=1, yes=True, artifacts=artifacts)
    assert [path.name for path in artifacts.glob("runs/*")] == [other.name]
    gc.gc(artifacts=artifacts)
    assert shown()[-1] == "Nothing to delete."
    assert len(list(artifacts.glob("[!.]*/*/manifest.json"))) == 7


def test_gc_ends_with_exit_code_1_and_a_line_for_each_thing_that_stays(
    artifacts, shown, monkeypatch
):
    (artifacts / ".quarantine" / "train-0123456789abcdef-20260101-000000-abcd").mkdir(parents=True)
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StageError, match=r"abcd: not deleted \(Read-only file system\)") as raised:
        gc.gc(yes=True, artifacts=artifacts)
    assert len(raised.value.args) == 1
    assert shown()[-1] == "Deleted 0 of 1, 0 B."


def refuse(path, **options):
    raise OSError(30, "Read-only file system", str(path))


def test_gc_of_a_folder_that_cannot_be_written_does_not_ask(artifacts, shown, monkeypatch):
    (artifacts / ".quarantine" / "train-0123456789abcdef-20260101-000000-abcd").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(ConfigError, match="cannot be written"):
        gc.gc(artifacts=artifacts)


@pytest.mark.parametrize(("width", "made"), [(80, "2026-01-01 "), (120, "2026-01-01 1")])
def test_the_table_fits_a_terminal_of_80_columns(width, made, monkeypatch):
    from pipeline.maintenance.find_garbage import Garbage, Kind, Piece

    piece = Piece(
        Kind.UNFINISHED,
        Path("train") / ("a" * 16),
        2_345_678_901,
        "evaluate",
        "a" * 16,
        "fashion_mnist",
        "2026-01-01T12:00:00+00:00",
    )
    console = console_of(width)
    maintenance_tables.show_garbage(console, Garbage((piece,), (piece,), {"00000000": 2}))
    _, row, *rest = console.file.getvalue().splitlines()
    assert row.split()[:3] == ["unfinished", "evaluate", "a" * 16]
    assert made in row
    assert row.endswith("fashion_mnist  2.3 GB")
    assert len(row) <= width
    assert rest == [
        "2.3 GB: 1 unfinished",
        "stays  2.3 GB that stopped runs go on from (evaluate); --unfinished deletes it too",
        "stays  2 in .staging and .claims, of machine 00000000, which may be at work; if it is "
        "not: --machine 00000000",
    ]
