"""What must be refused, by the whole command: exit code 2, one line, and nothing left behind."""

import contextlib
import csv
import importlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.cli import main
from pipeline.core.plugins import ROOT
from pipeline.data import ingest
from pipeline.data.sources import tfds
from tests.hostile import (
    bad_pictures,
    configs,
    csv_files,
    idx_files,
    image_folders,
    npz_files,
    odd_inputs,
    path_tables,
    photos,
    tfds_names,
)
from tests.hostile.row import Hostile

SMOKE = ["-c", str(ROOT / "configs" / "smoke.yaml")]
SOURCES = {
    f"{source}: {kind}": hostile
    for source, kinds in {
        "idx": idx_files.KINDS,
        "csv": csv_files.KINDS,
        "npz": npz_files.KINDS,
        "tfds": tfds_names.KINDS,
        "image_folder": image_folders.KINDS,
        "paths": path_tables.KINDS,
    }.items()
    for kind, hostile in kinds.items()
}
MOST_KILOBYTES = 200_000
MOST_KILOBYTES_OF_A_PROCESS = 1_000_000  # TensorFlow alone takes two thirds of it.


@pytest.fixture(scope="module", autouse=True)
def libraries():
    """What a stage imports is not counted as memory that an input claims."""
    importlib.import_module("pipeline.stages.ingest")
    importlib.import_module("tensorflow_datasets")


@pytest.fixture
def call(monkeypatch, capfd):
    """Calls `run`; gives its exit code, its output and by how much its memory peaked."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(tfds, "DOWNLOAD_RETRIES", 0)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)

    def run(arguments):
        monkeypatch.setattr(sys, "argv", ["run_pipeline.py", "run", *arguments])
        capfd.readouterr()
        before = reset_peak_kilobytes()
        with pytest.raises(SystemExit) as caught:
            main.main()
        growth = peak_kilobytes() - before
        shown = capfd.readouterr()
        return SimpleNamespace(
            code=caught.value.code or 0, out=shown.out, err=shown.err, growth=growth
        )

    return run


# The peak that wait4 tells includes that of the process that started this one. The program leaves
# by os._exit, which calls nothing that waits for the end.
MEASURED = """
import os, re, runpy, sys
from pathlib import Path
place, status, leave = Path(sys.argv.pop(1)), Path("/proc/self/status"), os._exit
def measured(code):
    place.write_text(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    leave(code)
os._exit = measured
runpy.run_path("run_pipeline.py", run_name="__main__")
"""


def no_network(*arguments, **options):
    raise socket.gaierror("the test has no network")


def reset_peak_kilobytes():
    with contextlib.suppress(OSError):  # Where the system cannot, the peak of earlier tests stays.
        Path("/proc/self/clear_refs").write_text("5")
    return peak_kilobytes()


def peak_kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def check_refused(ended, hostile, artifacts):
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.out + ended.err
    (line,) = ended.err.splitlines()
    assert line.startswith("error  ")
    assert hostile.where in line
    assert hostile.remedy in line.partition(hostile.where)[2]
    assert len(line) < main.LONGEST_LINE + 100
    assert not artifacts.exists()


@pytest.fixture
def places(tmp_path):
    folder = tmp_path / "input"
    folder.mkdir()
    return folder, tmp_path / "artifacts"


# Twice as many pictures as of another kind, with the same answer.
LONG = "image_folder: 10,000 classes of two pictures"


@pytest.mark.parametrize(
    "kind", [*(k for k in SOURCES if k != LONG), pytest.param(LONG, marks=pytest.mark.long)]
)
def test_hostile_images_are_refused_in_one_line(call, places, kind):
    folder, artifacts = places
    overrides = SOURCES[kind].make(folder)
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    check_refused(ended, SOURCES[kind], artifacts)
    assert ended.growth < MOST_KILOBYTES


def put_among_good(folder, row):
    """The bad file in the first of two classes of good pictures; gives the place of the classes."""
    place = folder / "data" / "photos"
    photos.put(place, "cat", "dog")
    row.make(place / "cat" / row.name)
    return place


def check_left_out(ended, artifacts, split_and_file, row):
    """The run went on without the file, counted it and listed it."""
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.out + ended.err
    told = [line for line in ended.out.splitlines() if line.startswith(f"  {row.kind}: 1 file ")]
    assert len(told) == 1
    (artifact,) = artifacts.glob("ingest/*/")
    with (artifact / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        (listed,) = csv.DictReader(file)
    assert (listed["split"], listed["file"]) == split_and_file
    assert (listed["class"], listed["kind"]) == ("cat", row.kind)
    assert listed["reason"].startswith(row.reason)
    dataset = json.loads((artifact / "dataset.json").read_text(encoding="utf-8"))
    assert sum(map(sum, dataset["counts"].values())) == used(row)


def used(row):
    """A file whose name is no text was one of the good ones."""
    return 2 * photos.COUNT - (row is bad_pictures.KINDS["a name that is no text"])


@pytest.mark.parametrize("kind", bad_pictures.KINDS)
def test_a_bad_picture_in_a_folder_is_left_out_counted_and_listed(call, places, kind):
    (folder, artifacts), row = places, bad_pictures.KINDS[kind]
    overrides = photos.from_folder(put_among_good(folder, row))
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    name = f"cat/{row.name}"
    check_left_out(ended, artifacts, ("train", name if name.isprintable() else repr(name)), row)
    assert ended.growth < MOST_KILOBYTES


def test_bad_pictures_of_a_table_are_left_out_counted_and_listed(call, places):
    folder, artifacts = places
    rows, expected = path_tables.bad_rows(folder)
    overrides = path_tables.from_table(folder, [*path_tables.GOOD, *rows])
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    assert ended.code == 0, ended.err
    (artifact,) = artifacts.glob("ingest/*/")
    with (artifact / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["file"]: (row["kind"], row["reason"]) for row in csv.DictReader(file)}
    assert listed.keys() == expected.keys()
    for name, (kind, reason) in expected.items():
        assert listed[name][0] == kind
        assert listed[name][1].startswith(reason)
    for kind, count in Counter(kind for kind, _ in expected.values()).items():
        assert f"  {kind}: {count} file" in ended.out
    assert ended.growth < MOST_KILOBYTES


@pytest.mark.parametrize("kind", odd_inputs.KINDS)
def test_odd_inputs_are_taken_whole(call, places, kind):
    (folder, artifacts), odd = places, odd_inputs.KINDS[kind]
    overrides = [*odd.make(folder), "data.checks.drop_leaks=false"]
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    assert ended.code == 0, ended.err
    assert odd.said in ended.out
    assert "\x1b" not in ended.out
    (artifact,) = artifacts.glob("ingest/*/")
    assert not (artifact / "quarantine.csv").exists()
    dataset = json.loads((artifact / "dataset.json").read_text(encoding="utf-8"))
    assert sum(map(sum, dataset["counts"].values())) == odd.images


def overwrite(path):
    photos.PICTURE.rotate(90).save(path)


def become_a_fifo(path):
    path.unlink()
    os.mkfifo(path)


CHANGES = {
    "vanishes": Path.unlink,
    "is cut short": lambda path: os.truncate(path, 99),
    "becomes another": overwrite,
    "becomes a FIFO": become_a_fifo,
    "becomes a link to itself": lambda path: path.unlink() or path.symlink_to(path.name),
    "gets a neighbour": lambda path: photos.PICTURE.save(path.with_name("new.png")),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("source", ["a folder", "a table"])
def test_a_file_that_changes_while_it_is_read_ends_the_run(
    call, places, monkeypatch, source, change
):
    folder, artifacts = places
    overrides = (
        path_tables.from_table(folder, path_tables.GOOD)
        if source == "a table"
        else photos.put(folder, "cat", "dog") or photos.from_folder(folder)
    )
    gather = ingest.gather

    def gather_late(*arguments):
        CHANGES[change](folder / "cat" / "3.png")
        return gather(*arguments)

    monkeypatch.setattr(ingest, "gather", gather_late)
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    if (source, change) == ("a table", "gets a neighbour"):
        assert ended.code == 0
        return
    check_refused(
        ended, Hostile(None, "files changed while they were read", "Run again"), artifacts
    )


def test_a_byte_order_mark_and_an_odd_name_are_no_harm(call, places):
    folder, artifacts = places
    table = csv_files.TABLE.replace(",p", ",\N{BOMB}p")
    table += "".join(f"{7 + row % 2 * 2},{row},1,2,3\n" for row in range(20, 40))
    overrides = csv_files.write(folder, b"\xef\xbb\xbf" + table.encode(), "a\nb :bomb:.csv")
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    assert ended.code == 0, ended.err
    assert list(artifacts.glob("ingest/*/manifest.json"))


@pytest.mark.parametrize(
    "kind", ["idx: a bomb behind giant dimensions", "npz: a bomb that says it is small"]
)
def test_a_bomb_claims_no_memory_in_a_process_of_its_own(places, kind):
    folder, artifacts = places
    typed = [*SMOKE, "--to", "ingest", "--artifacts", artifacts, *SOURCES[kind].make(folder)]
    peak = folder / "peak"
    process = subprocess.run(
        [sys.executable, "-c", MEASURED, str(peak), "run", *map(str, typed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    ended = SimpleNamespace(code=process.returncode, out=process.stdout, err=process.stderr)
    check_refused(ended, SOURCES[kind], artifacts)
    assert 10_000 < int(peak.read_text()) < MOST_KILOBYTES_OF_A_PROCESS


@pytest.mark.parametrize("kind", configs.KINDS)
def test_a_hostile_config_is_refused_in_one_line(call, places, kind):
    folder, artifacts = places
    ended = call([*configs.KINDS[kind].make(folder), "--artifacts", str(artifacts)])
    check_refused(ended, configs.KINDS[kind], artifacts)
    assert ended.out == ""
    assert ended.growth < MOST_KILOBYTES
