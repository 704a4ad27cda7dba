"""Runs at the same time in one folder share artifacts, replace them, and never see a part."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pipeline.core.errors import DataError
from pipeline.core.plugins import ROOT
from pipeline.data.sources import idx
from pipeline.store.store import ArtifactStore
from pipeline.workflow import execute, plan, runs
from pipeline.workflow.runs import find_run, list_runs, record_run
from pipeline.workflow.selection import Selection
from tests.faults.rivals import OTHERS, RIVALS
from tests.workflow.test_execute import ALL, Project

UNTUNED = [name for name in ALL if name != "tune"]


@pytest.fixture(scope="module")
def rivals():
    """Their process; it takes longer to start than to play a round."""
    command = [sys.executable, "-m", "tests.faults.rivals"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        yield process


@pytest.fixture
def play(rivals, tmp_path, record_property):
    def play(scenario, rounds):
        """Plays a scenario of `rivals`; whatever happened, nothing may be broken at its end."""
        folder = tmp_path / "place"
        print(scenario, rounds, folder, file=rivals.stdin, flush=True)
        played = json.loads(rivals.stdout.readline())
        diary = played["diary"]
        ended = [rival for round_ in played["rounds"] for rival in round_]
        assert played["again"] == [{"code": 0, "said": ""}]
        for rival in ended:
            assert rival["code"] in (0, 1, 2), rival["said"]
            assert (rival["code"] > 0) == (len(rival["said"].splitlines()) == 1), rival["said"]
        assert [words for words in diary if words[0] == "damaged"] == []
        assert_whole(ArtifactStore(folder / "artifacts"))
        record_property(f"rounds of rivals: {scenario}", rounds)
        record_property("rival processes in them", len(ended))
        return SimpleNamespace(
            codes=Counter(rival["code"] for rival in ended),
            said=sorted({rival["said"] for rival in ended}),
            rounds=[Counter(rival["code"] for rival in round_) for round_ in played["rounds"]],
            made=Counter(words[1] for words in diary if words[0] == "made"),
            told=lambda word: [list(map(int, words[1:])) for words in diary if words[0] == word],
        )

    return play


def assert_whole(store):
    published = [path for path in store.root.glob("[a-z]*/*") if path.parent.name != "runs"]
    assert published
    for path in published:
        assert store.intact(path.parent.name, path.name) is not None
    for run in list_runs(store):
        for made in run.record["stages"]:
            assert run.intact_artifact(made["stage"]).is_dir()
    for name in ("staging", "claims", "quarantine"):
        assert list(store.root.glob(f".{name}/*")) == []


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
def test_sixteen_runs_of_one_config_make_each_artifact_once(play, tmp_path, rounds):
    played = play("same", rounds)
    assert played.codes == {0: RIVALS * rounds}
    assert played.made == dict.fromkeys(UNTUNED, rounds)
    assert len(list_runs(ArtifactStore(tmp_path / "place" / "artifacts"))) == RIVALS * rounds + 1


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
def test_sixteen_runs_of_different_configs_share_what_they_have_in_common(play, rounds):
    played = play("different", rounds)
    assert played.codes == {0: RIVALS * rounds}
    assert played.made["ingest"] == rounds
    assert played.made["train"] == played.made["verify"] == RIVALS * rounds


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
def test_locks_that_hold_nobody_off_break_nothing(play, rounds):
    played = play("same_without_locks", rounds)
    assert played.codes[0] >= RIVALS * rounds / 2
    assert played.made["ingest"] > rounds  # else the locks held


@pytest.mark.parametrize(
    ("scenario", "rounds"),
    [
        ("replacing", 1),
        pytest.param("replacing", 5, marks=pytest.mark.long),
        pytest.param("replacing_without_locks", 5, marks=pytest.mark.long),
    ],
)
def test_who_looks_on_while_artifacts_are_replaced_sees_nothing_or_a_whole(play, scenario, rounds):
    played = play(scenario, rounds)
    assert played.codes[0] >= (RIVALS + OTHERS) * rounds * (1 if scenario == "replacing" else 0.5)
    assert len(played.told("polled")) == OTHERS * rounds
    # Else nobody replaced anything under their eyes.
    assert max(contents for _, contents in played.told("polled")) > len(UNTUNED)


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.long)])
def test_what_is_deleted_beside_runs_is_made_again_and_nothing_in_use_goes(play, rounds):
    played = play("discarding", rounds)
    gone, kept = map(sum, zip(*played.told("discarded"), strict=True))
    assert kept > 0
    assert gone > 0


@pytest.mark.long
def test_sweeps_beside_runs_take_nothing_away(play):
    played = play("sweeping", 5)
    assert played.codes == {0: (RIVALS + OTHERS) * 5}
    assert sum(count for (count,) in played.told("swept")) > 250


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.long)])
def test_runs_that_fail_and_tidy_up_do_not_disturb_others(play, rounds):
    played = play("failing", rounds)
    assert played.codes == {0: RIVALS // 2 * rounds, 2: RIVALS // 2 * rounds}, played.said


MOMENTS = {"1970": 0, "all the same": 1_000_000_000, "2100": 4_102_444_800}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_times_of_files_decide_nothing(project, tmp_path, moment):
    data = shutil.copytree(idx.MNIST, tmp_path / "data")
    where = f"data.folder={data}"

    def set_times():
        for path in (*data.rglob("*"), *project.store.root.rglob("*")):
            os.utime(path, (moment, moment), follow_symlinks=False)

    project.run(where)
    set_times()
    assert project.run(where) == []
    labels = data / "t10k-labels-idx1-ubyte.gz"
    content = bytearray(labels.read_bytes())
    content[-1] ^= 1
    labels.write_bytes(content)  # of the same size, and in a moment of the same time
    set_times()
    assert project.run(where) == ALL
    assert project.reasons["ingest"] == "the files that it reads changed"


@pytest.mark.parametrize("years", [-60, 74])
def test_a_clock_that_was_wrong_makes_nothing_stale_and_hides_no_run(project, monkeypatch, years):
    class Wrong(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(zone) + timedelta(days=365 * years)

    def recorded(*overrides):
        config, started = project.config(*overrides), runs.datetime.now(UTC)
        project.run(*overrides)
        steps = plan.plan(config, project.store, Selection())
        return record_run(project.store, config, steps, started)

    with monkeypatch.context() as patch:
        patch.setattr(execute, "datetime", Wrong)
        patch.setattr(runs, "datetime", Wrong)
        wrong = recorded("train.epochs=5")
    assert project.run("train.epochs=5") == []
    right = recorded("train.epochs=6")
    assert project.artifact("train", "train.epochs=6").manifest["created"][:4] == str(
        datetime.now(UTC).year
    )
    assert list_runs(project.store) == ([wrong, right] if years < 0 else [right, wrong])
    assert find_run(project.store, right.name) == right
    assert project.run("train.epochs=5") == []
    assert project.run("train.epochs=6") == []


def test_runs_of_one_second_are_in_order_of_their_numbers(project):
    project.run(last="ingest")
    config, started = project.config(), datetime.now(UTC)
    steps = plan.plan(config, project.store, Selection(last="ingest"))
    made = [record_run(project.store, config, steps, started).name for _ in range(12)]
    assert [run.name for run in list_runs(project.store)] == made
    assert find_run(project.store, None).name == made[-1]
    assert made[-1].endswith("-12")


def test_data_that_change_between_two_stages_leave_the_run_as_it_began(project, tmp_path):
    """Later stages read what ingest published; the next run takes the new data."""
    data = shutil.copytree(idx.MNIST, tmp_path / "data")
    where = f"data.folder={data}"
    labels = data / "t10k-labels-idx1-ubyte.gz"
    project.actions["train"] = lambda context: labels.write_bytes(b"others") and None
    assert project.run(where) == ALL
    project.actions.clear()
    assert project.run(where) == ALL
    assert project.run(where) == []
    labels.unlink()
    with pytest.raises(DataError, match=labels.name):
        project.run(where)


def test_a_config_that_changes_between_two_stages_runs_what_depends_on_it(project):
    project.run(last="train")
    assert project.run("evaluate.worst_mistakes=3", first="evaluate") == [
        "evaluate",
        "export",
        "verify",
    ]
    assert project.run() == ["evaluate", "verify"]


def test_no_run_makes_what_it_forced_a_second_time(project):
    """Two runs would replace each other's artifact for ever."""
    project.run()

    def rival(context):
        del project.actions["evaluate"]
        project.text = "made by a rival"
        with_new = Project(project.store.root)
        with_new.load = project.load
        project.run(last="train", forced=frozenset({"train"}))

    project.actions["evaluate"] = rival
    ran = []
    project.text = "made anew"
    project.actions["train"] = lambda context: ran.append("train")
    project.run(forced=frozenset({"train"}))
    assert ran == ["train", "train"]  # once by each
    assert project.run() == []
