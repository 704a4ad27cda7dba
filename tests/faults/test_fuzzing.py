"""No bytes in any file that the program reads make anything but a refusal of one line."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import wraps

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.cli import tables
from pipeline.core.errors import DamagedArtifactError, PipelineError
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.store.artifact import MANIFEST, open_artifact
from pipeline.store.process_owner import owner_in, this_process
from pipeline.store.stale_files import sweep
from pipeline.workflow import plan
from pipeline.workflow.runs import RECORD, find_run, list_runs, record_run
from pipeline.workflow.selection import Selection
from tests.command_line import console_of
from tests.faults.fuzzing import KINDS, changed, images_in, json_values, paths_in, replaced

EXAMPLES = [25, pytest.param(1000, marks=pytest.mark.long)]


@pytest.fixture
def fuzz(record_property):
    """Runs a check on so many examples, and records how many it was."""

    def fuzz(examples, *strategies):
        def run(check):
            ran = 0

            @wraps(check)
            def counted(*values, **named):
                nonlocal ran
                ran += 1
                check(*values, **named)

            unhurried = settings(max_examples=examples, suppress_health_check=list(HealthCheck))
            unhurried(given(*strategies)(counted))()
            record_property("examples of fuzzing", ran)

        return run

    return fuzz


@pytest.fixture
def project(project):
    """A project whose pipeline ran once, with a record of it."""
    project.run()
    steps = plan.plan(project.config(), project.store, Selection())
    record_run(project.store, project.config(), steps, datetime.now(UTC))
    return project


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_file_is_read(tmp_path, kind):
    assert KINDS[kind].read(tmp_path, KINDS[kind].content) is not None


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_to_a_file_makes_anything_but_a_refusal(fuzz, tmp_path, kind, examples):
    good, seen = KINDS[kind], []

    @fuzz(examples, changed(good.content))
    def check(content):
        seen.append(content)
        refusal = good.refusal(tmp_path, content)
        assert refusal is None or (refusal and "\n" not in "".join(refusal))

    assert len(set(seen)) > examples / 2


@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_folder_of_pictures_makes_anything_but_a_refusal(fuzz, tmp_path, examples):
    names = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4).map("/".join)
    pictures = st.sampled_from(
        ["cat/1.png", "cat/2.JPG", "dog/1.png", "dog/2.gif", "train/x/1.png"]
    )
    files = st.dictionaries(names | pictures, st.binary(max_size=20), max_size=5)
    number = iter(range(10**9))

    @fuzz(examples, files)
    def check(files):
        images_in(tmp_path / str(next(number)), files)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", [MANIFEST, RECORD])
def test_no_changed_byte_of_a_seal_or_what_it_seals_is_read(fuzz, project, examples, name):
    path = next(project.store.root.glob(f"*/*/{name}"))
    content = path.read_bytes()

    @fuzz(examples, changed(content))
    def check(new):
        path.write_bytes(new)
        if new != content:
            with pytest.raises(ValueError, match="not as it was written"):
                read_sealed(path)

    path.write_bytes(content)
    assert read_sealed(path)


@pytest.mark.parametrize("examples", [12, pytest.param(300, marks=pytest.mark.long)])
@pytest.mark.parametrize("stage", ["tune", "export"])
def test_no_foreign_manifest_makes_a_plan_or_a_listing_fail(fuzz, project, examples, stage):
    """Its seal is right: whoever made it took the trouble."""
    path = project.artifact(stage).path / MANIFEST
    good = read_sealed(path)
    foreign, read = st.sampled_from(paths_in(good)), []

    @fuzz(examples, foreign, json_values)
    def check(place, value):
        write_sealed(path, replaced(good, place, value))
        with suppress(DamagedArtifactError):
            artifact = open_artifact(path.parent)
            read.append((artifact.misfit, artifact.damage, artifact.identity))
        reasons = project.plan()
        assert all(isinstance(reason, str) for reason in reasons.values())
        other = project.plan("train.epochs=9")
        assert "train" in other

    assert read


@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_foreign_record_of_a_run_makes_a_command_fail(fuzz, project, examples):
    path = next(project.store.root.glob(f"runs/*/{RECORD}"))
    good = read_sealed(path)
    shown, console = [], console_of(200)

    @fuzz(examples, st.sampled_from(paths_in(good)), json_values)
    @example(("started",), "")
    @example(("stages", 0, "stage"), "[/x]")
    @example(("config", "data", "folder"), "\ud800")
    def check(place, value):
        write_sealed(path, replaced(good, place, value))
        found = list_runs(project.store)
        tables.show_runs(console, found)
        for run in found:
            shown.append(run.name)
            tables.show_stages(console, run)
            with suppress(PipelineError):
                run.intact_artifact("export")
        with suppress(PipelineError):
            find_run(project.store, "mnist", "export")

    assert shown


@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_claim_makes_anything_but_a_refusal(fuzz, project, examples):
    store = project.store
    store.claim([("ingest", "0" * 16)])
    (path,) = store.root.glob(".claims/*.json")

    @fuzz(examples, changed(path.read_bytes()))
    def check(content):
        path.write_bytes(content)
        with suppress(PipelineError):
            assert isinstance(store.claimed(), set)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_no_name_in_a_working_folder_stops_a_sweep_or_costs_a_live_run_its_files(
    fuzz, tmp_path, examples
):
    staging = tmp_path / ".staging"
    mine = staging / f"train-{'0' * 16}.{this_process()}.ab"
    (mine / "half").mkdir(parents=True)
    words = st.sampled_from([str(this_process()), "0" * 8, ".replaced", "9" * 30, ".", "-", "٣"])
    names = st.lists(words | st.text(max_size=6), min_size=1, max_size=6).map(".".join)

    @fuzz(examples, names)
    def check(name):
        owner = owner_in(name)
        assert owner is None or owner.has_ended in (True, False)
        with suppress(OSError, ValueError):  # a name that no file can have
            (staging / name.replace("/", "-")).mkdir()
        sweep(tmp_path)
        assert (mine / "half").is_dir()
