"""What must be refused, by the whole command: exit code 2, one line, and nothing left behind."""

import contextlib
import importlib
import resource
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import cli
from pipeline.plugins import ROOT
from pipeline.sources import tfds
from tests.hostile import configs, csv_files, idx_files, npz_files, tfds_names

SMOKE = ["-c", str(ROOT / "configs" / "smoke.yaml")]
SOURCES = {
    f"{source}: {kind}": hostile
    for source, kinds in {
        "idx": idx_files.KINDS,
        "csv": csv_files.KINDS,
        "npz": npz_files.KINDS,
        "tfds": tfds_names.KINDS,
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
            cli.main()
        growth = peak_kilobytes() - before
        shown = capfd.readouterr()
        return SimpleNamespace(
            code=caught.value.code or 0, out=shown.out, err=shown.err, growth=growth
        )

    return run


# The peak that wait4 tells includes that of the process that started this one.
MEASURED = """
import atexit, re, runpy, sys
from pathlib import Path
place, status = Path(sys.argv.pop(1)), Path("/proc/self/status")
atexit.register(lambda: place.write_text(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
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
    assert len(line) < cli.LONGEST_LINE + 100
    assert not artifacts.exists()


@pytest.fixture
def places(tmp_path):
    folder = tmp_path / "input"
    folder.mkdir()
    return folder, tmp_path / "artifacts"


@pytest.mark.parametrize("kind", SOURCES)
def test_hostile_images_are_refused_in_one_line(call, places, kind):
    folder, artifacts = places
    overrides = SOURCES[kind].make(folder)
    ended = call([*SMOKE, "--to", "ingest", "--artifacts", str(artifacts), *overrides])
    check_refused(ended, SOURCES[kind], artifacts)
    assert ended.growth < MOST_KILOBYTES


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
