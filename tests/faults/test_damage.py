"""No damaged file is used: every reader notices, says so, and makes anew what it can."""

import random
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from types import SimpleNamespace

import pytest

from pipeline.cli import main
from pipeline.core.errors import DamagedArtifactError
from pipeline.core.plugins import ROOT
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.store.artifact import MANIFEST, open_artifact
from pipeline.store.process_owner import Owner, this_process
from pipeline.store.store import ArtifactStore
from pipeline.workflow import graph, plan
from pipeline.workflow.runs import RECORD, list_runs, open_run, record_run
from pipeline.workflow.selection import Selection
from tests.faults.damaging import Tally, absence, flip, flips, refuse_all, truncations
from tests.workflow.test_execute import ALL

SMOKE = ["-c", str(ROOT / "configs" / "smoke.yaml")]
DAMAGES = "flips, truncations and losses of files of artifacts"
INPUTS = [(stage.name, name) for stage in graph.STAGES for name in stage.inputs]


@pytest.fixture(scope="module")
def copy(smoke_run, tmp_path_factory):
    """The artifacts of a real run, to be damaged and put right again."""
    return shutil.copytree(smoke_run, tmp_path_factory.mktemp("damage") / "copy", symlinks=True)


@contextmanager
def put_right(*paths):
    """What is done to these files within is undone."""
    contents = [path.read_bytes() for path in paths]
    try:
        yield
    finally:
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)


@pytest.fixture
def call(monkeypatch, capsys):
    """Calls a command; gives its exit code and what it printed."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["run_pipeline.py", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main.main()
        shown = capsys.readouterr()
        return SimpleNamespace(code=caught.value.code or 0, out=shown.out, err=shown.err)

    return call


def test_each_file_of_each_artifact_is_refused_where_a_bit_flips_or_bytes_are_gone(
    copy, record_property
):
    tally, chance = Tally(), random.Random(1)

    def damages(path):
        yield from chain(flips(path, 1, chance), absence(path))
        yield from truncations(path, every=path.stat().st_size)

    refuse_all(copy, damages, tally)
    assert tally.made > 400
    flipped = sum(path.stat().st_size > 0 for path in copy.glob("[a-z]*/[0-9a-f]*/**/*.*"))
    assert tally.by_size < tally.made - flipped // 2  # of most flips a size tells nothing
    record_property(DAMAGES, tally.made)


@pytest.mark.long
def test_ten_thousand_flips_and_truncations_of_each_kind_of_artifact_are_refused(
    copy, record_property
):
    tally, chance = Tally(), random.Random(2)
    refuse_all(copy, lambda path: chain(truncations(path), flips(path, 40, chance)), tally)
    assert tally.made >= 10_000
    record_property(DAMAGES, tally.made)


def test_a_damaged_record_of_a_run_is_no_run(copy, record_property):
    (run,) = list_runs(ArtifactStore(copy))
    path, made = run.path / RECORD, 0
    for _ in chain(flips(path, 300, random.Random(3)), truncations(path, 97), absence(path)):
        made += 1
        with pytest.raises(DamagedArtifactError, match=RECORD):
            open_run(run.path)
        assert list_runs(ArtifactStore(copy)) == []
    assert made > 360
    assert open_run(run.path) == run
    record_property("flips, truncations and losses of records of runs", made)


USES = {
    "predict a picture": ("export", "tflite_float32.tflite", ["predict", "picture.png"]),
    "predict a table": ("export", "contract.json", ["predict", "some.csv", "--output", "out.csv"]),
    "replay golden images": (
        "export",
        "model.onnx",
        ["check-golden", "{run}/verify/golden", "--format", "onnx"],
    ),
    "read golden images": (
        "verify",
        "golden/golden.json",
        ["check-golden", "{run}/verify/golden", "--format", "onnx"],
    ),
    "serve the page": ("export", "runtimes/web/app.js", ["demo", "--port", "0"]),
    "serve golden images": ("verify", "golden/golden.json", ["demo", "--port", "0"]),
    "recommend": ("verify", "verdict.json", ["recommend", "--target", "server"]),
    "show": ("verify", "verdict.json", ["show"]),
}


@pytest.mark.parametrize("what", USES)
@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "in another's place"])
def test_no_command_uses_what_is_damaged(copy, call, record_property, what, how):
    stage, name, command = USES[what]
    (run,) = list_runs(ArtifactStore(copy))
    path = run.path.resolve() / stage / name
    other = copy / "build" / run.record["stages"][2]["key"] / "summary.txt"
    words = [word.format(run=run.path) for word in command]
    with put_right(path, other):
        if how == "flipped":
            flip(path, path.stat().st_size // 2, 0)
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:-1])
        elif how == "gone":
            path.unlink()
        else:
            other.replace(path)
        ended = call(*words, "--artifacts", copy)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert str(path.resolve()) in line.replace(str(run.path / stage), str(path.parent.resolve()))
    assert line.endswith(f"`python run_pipeline.py check --artifacts {copy}` says how to mend it")
    record_property("damaged files offered to commands", 1)


@pytest.fixture
def led_elsewhere(copy):
    """Two links of the run lead to whole artifacts that it did not make."""
    (run,) = list_runs(ArtifactStore(copy))
    links = [run.path / stage for stage in ("export", "verify")]
    made = [link.readlink() for link in links]
    for link in links:
        other = shutil.copytree(link, copy / link.name / ("0" * 16))
        link.unlink()
        link.symlink_to(other)
    yield copy
    for link, target in zip(links, made, strict=True):
        shutil.rmtree(link.resolve())
        link.unlink()
        link.symlink_to(target)


def test_an_artifact_that_the_run_did_not_make_is_not_used(led_elsewhere, call):
    for command in (["predict", "some.png"], ["show"], ["recommend", "--target", "server"]):
        ended = call(*command, "--artifacts", led_elsewhere)
        assert ended.code == 1
        assert "is not what the run made" in ended.err
        assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("name", [MANIFEST, "model.keras", "best.yaml", "dataset.json"])
def test_status_and_a_dry_run_tell_damage_that_shows_in_a_size(copy, call, name):
    path = next(copy.glob(f"[a-z]*/*/{name}"))
    for command in (["status"], ["run", "--dry-run"]):
        with put_right(path):
            path.write_bytes(path.read_bytes()[:-1])
            ended = call(*command, *SMOKE, "--artifacts", copy)
        assert (ended.code, ended.err) == (0, "")
        assert "damaged: " in ended.out
        assert name in "".join(ended.out.split())


def contents(project):
    steps = plan.plan(project.config(), project.store, Selection())
    return {step.stage.name: step.artifact.identity for step in steps}


def damage(artifact, how):
    manifest, file = artifact.path / MANIFEST, artifact.path / f"{artifact.stage}.txt"
    if how == "flipped":
        flip(file, 2, 4)
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "no file":
        file.unlink()
    elif how == "no manifest":
        manifest.unlink()
    elif how == "a flipped manifest":
        flip(manifest, 40, 0)
    elif how == "a folder for a file":
        file.unlink()
        file.mkdir()
    else:
        write_sealed(manifest, {**read_sealed(manifest), **FOREIGN[how]})


FOREIGN = {
    "files elsewhere": {"files": {"../../../canary": {"size_bytes": 0, "sha256": "0"}}},
    "odd sizes": {"files": {"x.txt": {"size_bytes": [], "sha256": None}}},
    "an impossible name": {"files": {"a\0b": {"size_bytes": 1, "sha256": "0"}}},
    "another stage": {"stage": "build", "key": "0" * 16},
    "a stage that leads out": {"stage": "../../x", "key": ".."},
    "a config that is none": {"config": 5},
}
HOWS = ["flipped", "empty", "no file", "no manifest", "a flipped manifest", "a folder for a file"]


@pytest.mark.parametrize(
    ("reader", "damaged", "how"),
    [
        *((reader, damaged, "flipped") for reader, damaged in INPUTS),
        *(("train", "build", how) for how in [*HOWS, *FOREIGN]),
    ],
)
def test_a_stage_notices_damage_before_it_reads_and_it_is_made_anew(
    project, record_property, reader, damaged, how
):
    project.run()
    before = contents(project)
    damage(project.artifact(damaged), how)
    project.run(forced=frozenset({reader}))
    assert contents(project) == before
    assert len(project.hidden("quarantine")) == 1
    assert [w for w in project.warnings if "moved to" in w]
    assert project.run() == []
    record_property("damaged artifacts offered to stages", 1)


def test_a_stage_that_is_forced_takes_the_place_of_what_no_size_tells_is_damaged(project):
    """As `check` says to."""
    project.run()
    train = project.artifact("train")
    damage(train, "flipped")
    assert project.run() == []
    assert project.run(forced=frozenset({"train"})) == ["train"]
    assert project.store.intact("train", train.key).identity == train.identity


def test_a_damaged_verdict_is_made_anew_before_it_is_shown(project):
    project.run()
    damage(project.artifact("verify"), "flipped")
    assert project.plan() == {}
    assert project.run() == ["verify"]
    assert len(project.hidden("quarantine")) == 1


def test_damage_between_two_stages_of_one_run_is_noticed_by_the_second(project):
    """What was whole when build read it is not when train does."""
    project.run("tune.enabled=false", last="ingest")
    ingest = project.artifact("ingest", "tune.enabled=false")
    project.actions["build"] = lambda context: once.pop()() if once else None
    once = [lambda: damage(ingest, "flipped")]
    ran = project.run("tune.enabled=false")
    assert ran[:2] == ["build", "ingest"]
    assert project.hidden("quarantine") != []
    assert Counter(ran)["train"] == 1
    assert project.run("tune.enabled=false") == []


def test_an_input_that_is_replaced_while_a_stage_reads_it_makes_no_stale_artifact(project):
    project.run(last="export")
    project.text = "made by a rival"

    def rival(context):
        project.actions.clear()
        project.run(last="export", forced=frozenset({"export"}))

    project.actions["verify"] = rival
    project.run()
    export = project.artifact("export").identity
    assert project.artifact("verify").manifest["inputs"]["export"] == export
    assert any("another run replaced it" in w for w in project.warnings)
    assert project.hidden("quarantine") == []
    assert project.plan() == {}


def swap(one, other):
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_swapped_artifacts_are_moved_aside_and_made_anew(project):
    for epochs in (5, 10):
        project.run(f"train.epochs={epochs}")
    five, ten = (project.artifact("train", f"train.epochs={n}") for n in (5, 10))
    swap(five.path, ten.path)
    assert project.run("train.epochs=5") == ["train"]
    assert project.run("train.epochs=10") == ["train"]
    assert len(project.hidden("quarantine")) == 2
    swap(*(project.artifact(name, "train.epochs=5").path for name in ("build", "ingest")))
    assert project.run("train.epochs=5") == ["ingest", "build"]


def test_swapped_files_of_one_artifact_are_noticed(copy):
    golden = next(copy.glob("verify/*/golden/expected"))
    files = golden / "onnx.bin", golden / "tflite_float32.bin"  # of one size
    artifact, store = open_artifact(golden.parent.parent), ArtifactStore(copy)
    with put_right(*files):
        swap(*files)
        assert store.find(artifact.stage, artifact.key)
        with pytest.raises(DamagedArtifactError, match=r"expected/.*is not the file"):
            store.intact(artifact.stage, artifact.key)


def test_an_artifact_of_one_key_from_another_folder_makes_later_ones_out_of_date(project, tmp_path):
    """It is whole and in its place; what was made from the other is stale all the same."""
    project.run()
    mine = project.artifact("train")
    first, project.store = project.store, ArtifactStore(tmp_path / "other")
    project.actions["train"] = lambda c: (c.output / "train.txt").write_text("elsewhere") and None
    project.run()
    foreign = project.artifact("train")
    assert foreign.key == mine.key
    shutil.rmtree(mine.path)
    shutil.copytree(foreign.path, mine.path)
    project.store = first
    assert project.plan()["export"] == "train was made anew"
    assert project.run() == ["evaluate", "export"]
    assert project.artifact("export").manifest["inputs"]["train"] == foreign.identity


def test_the_two_exports_of_runs_that_were_swapped_are_used_by_neither(project):
    for epochs in (5, 10):
        config = project.config(f"train.epochs={epochs}")
        project.run(f"train.epochs={epochs}")
        steps = plan.plan(config, project.store, Selection())
        record_run(project.store, config, steps, datetime.now(UTC))
    one, other = list_runs(project.store)
    for run in (one, other):
        assert run.intact_artifact("export").is_dir()
    swap((one.path / "export").resolve(), (other.path / "export").resolve())
    for run in (one, other):
        with pytest.raises(DamagedArtifactError, match="holds the artifact of export; "):
            run.intact_artifact("export")


def test_stale_folders_locks_claims_and_reused_process_ids_hold_nothing_up(project, tmp_path):
    project.run(last="build")
    root, me = project.store.root, this_process()
    earlier = Owner(me.machine, me.process, me.started - 1)  # had the number that is mine now
    for name in (f"train-{'0' * 16}.{earlier}.ab", f"run-0.{earlier}.cd"):
        (root / ".staging" / name / "deep").mkdir(parents=True)
    ingest = project.artifact("ingest")
    out = root / ".staging" / f"ingest-{ingest.key}.{earlier}.ef.replaced"
    ingest.path.rename(out)
    hostile = shutil.copytree(out, root / ".staging" / f"x.{earlier}.gh.replaced")
    values = {**read_sealed(hostile / MANIFEST), "stage": "..", "key": "escaped"}
    write_sealed(hostile / MANIFEST, values)
    for step in plan.plan(project.config(), project.store, Selection()):
        (root / ".locks" / f"{step.stage.name}-{step.key}.lock").write_text("")
    (root / ".claims").mkdir(exist_ok=True)
    (root / ".claims" / f"claim.{earlier}.json").write_text("{torn")
    assert project.run() == ALL[3:]  # ingest came back from where it was on its way out
    assert list(root.glob(".staging/*")) == []
    assert not (tmp_path / "escaped").exists()
    assert list(root.glob(f".claims/claim.{earlier}.json")) == []
