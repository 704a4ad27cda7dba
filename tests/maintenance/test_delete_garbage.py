"""gc: what no kept run uses goes, whole; what one uses stays, whatever happens meanwhile."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.core.errors import ConfigError, DamagedArtifactError
from pipeline.core.plugins import ROOT
from pipeline.core.sealed_json import write_sealed
from pipeline.maintenance import delete_garbage
from pipeline.maintenance.delete_garbage import collect
from pipeline.maintenance.find_garbage import Rules, find_garbage
from pipeline.store import process_owner
from pipeline.store.artifact import open_artifact
from pipeline.store.process_owner import Owner, this_process
from pipeline.store.store import ArtifactStore
from pipeline.workflow.runs import list_runs

ELSEWHERE = "00000000.1.1"
ORDINARY, ALL = Rules(), Rules(unfinished=True)


class Folder:
    """An artifacts folder whose days are told by a number."""

    def __init__(self, root):
        self.store = ArtifactStore(root)

    def artifact(self, stage, letter, *inputs, day=1, config="mnist", **train):
        with self.store.staging(stage, letter * 16) as folder:
            (folder / "logs").mkdir()
            (folder / "model.keras").write_text(f"{stage} {letter}")
            (folder / "logs" / "history.csv").write_text("epoch\n1\n")
            manifest = {
                "stage": stage,
                "key": letter * 16,
                "created": f"2026-01-0{day}T10:00:05.000000+00:00",
                "summary": "made",
                "inputs": {each.stage: each.identity for each in inputs},
                "ingredients": {},
                "metrics": {},
                "config": {"name": config, "train": train},
            }
            return self.store.publish(folder, manifest)

    def run(self, *artifacts, day=1, config="mnist", suffix=""):
        folder = self.store.root / "runs" / f"2026010{day}-100000-{config}{suffix}"
        folder.mkdir(parents=True)
        for each in artifacts:
            (folder / each.stage).symlink_to(f"../../{each.stage}/{each.key}")
        named = {"reason": "forced", "summary": "made"}
        record = {
            "config_name": config,
            "started": f"2026-01-0{day}T10:00:00+00:00",
            "seconds": 1.5,
            "stages": [{"stage": each.stage, "key": each.key, **named} for each in artifacts],
            "config": {"data": {"source": "idx"}},
        }
        write_sealed(folder / "run.json", record)
        return folder

    def garbage(self, rules=ORDINARY):
        return sorted(name(piece) for piece in find_garbage(self.store, rules).pieces)

    def collect(self, rules=ORDINARY):
        """Gives what went; whatever cannot is a failure of the test."""
        gone = collect(self.store, find_garbage(self.store, rules), rules, pytest.fail)
        return sorted(map(name, gone))

    def inside(self, place):
        return [path.name for path in (self.store.root / place).iterdir()]

    def tree(self):
        return sorted(str(path.relative_to(self.store.root)) for path in self.store.root.rglob("*"))


def name(piece):
    return " ".join(filter(None, (piece.kind, piece.stage, piece.key[:1] or piece.path.name)))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "artifacts")


@pytest.fixture(scope="module")
def ended():
    """The owner that a process was which has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return Owner(this_process().machine, process.pid, 1)


@pytest.fixture
def three_days(folder):
    """Three runs of one config, each with its own training of the same images."""
    images = folder.artifact("ingest", "a")
    for day, letter in enumerate("bcd", 1):
        train = folder.artifact("train", letter, images, day=day)
        folder.run(images, train, day=day)
    return folder


def test_without_a_number_every_run_stays_with_all_that_it_used(three_days):
    assert three_days.garbage(ALL) == []
    before = three_days.tree()
    assert three_days.collect(ALL) == []
    assert three_days.tree() == before


def test_older_runs_than_the_newest_of_their_config_go_with_what_they_alone_used(three_days):
    other = three_days.artifact("train", "e", config="photos")
    three_days.run(other, config="photos")
    expected = ["old run 2", "old run 2", "unused train b", "unused train c"]
    assert three_days.collect(Rules(keep=1)) == expected
    assert [run.name for run in list_runs(three_days.store)] == [
        "20260101-100000-photos",
        "20260103-100000-mnist",
    ]
    for run in list_runs(three_days.store):
        for link in run.path.glob("*/"):
            assert open_artifact(link).damage is None
    assert three_days.garbage(Rules(keep=1)) == []


def test_of_runs_of_one_second_the_highest_number_is_the_newest(folder):
    train = folder.artifact("train", "a")
    for suffix in ("", "-2", "-9", "-10"):
        folder.run(train, suffix=suffix)
    folder.collect(Rules(keep=1))
    assert [run.name for run in list_runs(folder.store)] == ["20260101-100000-mnist-10"]


def test_what_a_kept_artifact_was_made_from_stays_though_no_run_links_to_it(folder):
    images = folder.artifact("ingest", "a")
    train = folder.artifact("train", "b", images)
    folder.run(folder.artifact("export", "c", train))
    assert folder.garbage(ALL) == []


def test_what_a_kept_model_learnt_from_stays_though_no_run_links_to_it(folder):
    ancestor, _ = folder.artifact("train", "a"), folder.artifact("train", "b")
    tuned = folder.artifact("train", "c", initial_weights=str(ancestor.path), day=2)
    folder.run(tuned, day=3)
    assert folder.collect() == ["unused train b"]
    assert sorted(folder.inside("train")) == [ancestor.key, tuned.key]


def test_what_a_stopped_run_made_stays_until_a_later_run_of_its_config(folder):
    folder.artifact("train", "a", folder.artifact("ingest", "b", day=1), day=3)
    folder.run(folder.artifact("build", "c"), day=2)
    folder.run(folder.artifact("build", "d"), day=4, config="photos")
    assert folder.garbage() == []
    assert folder.garbage(ALL) == ["unfinished train a", "unused ingest b"]
    folder.run(folder.artifact("build", "c"), day=4)
    assert folder.garbage() == ["unused ingest b", "unused train a"]


def test_scratch_stays_unless_its_artifact_is_made_or_it_is_told_to_go(folder):
    train = folder.artifact("train", "a")
    folder.run(train)
    for letter in "ab":
        (folder.store.scratch("train", letter * 16) / "checkpoint").write_text("1")
    (folder.store.root / ".scratch" / "other").mkdir()
    (folder.store.root / ".scratch" / "other" / "mine").write_text("")
    assert folder.garbage() == ["left over train a"]
    assert folder.garbage(ALL) == ["left over train a", "unfinished train b"]
    folder.store.claim([("train", "a" * 16), ("train", "b" * 16)])
    assert folder.garbage(ALL) == []
    folder.store.drop_claim()
    assert folder.collect(ALL) == ["left over train a", "unfinished train b"]
    assert folder.inside(".scratch") == ["other"]


def test_what_was_damaged_goes_and_what_is_not_of_this_program_stays(folder):
    folder.artifact("train", "a")
    folder.store.set_aside("train", "a" * 16)
    (folder.store.root / ".quarantine" / "mine").mkdir()
    (folder.store.root / "train" / "backup").mkdir()
    broken = folder.artifact("train", "b").path
    (broken / "manifest.json").write_text("{}")
    assert folder.collect() == ["damaged train a", "damaged train b"]
    assert folder.inside(".quarantine") == ["mine"]
    assert (folder.store.root / "train" / "backup").is_dir()


def test_only_what_is_certainly_abandoned_is_left_over(folder, ended):
    for who in (ended, this_process(), ELSEWHERE):
        (folder.store.root / ".staging" / f"train-{'a' * 16}.{who}.ab").mkdir(parents=True)
    garbage = find_garbage(folder.store, Rules())
    assert [piece.path.name for piece in garbage.pieces] == [f"train-{'a' * 16}.{ended}.ab"]
    assert garbage.elsewhere == {"00000000": 1}
    rules = Rules(machines=frozenset(["00000000", this_process().machine]))
    assert folder.collect(rules) == ["left over train a", "left over train a"]
    assert len(folder.inside(".staging")) == 1


def test_the_claim_of_another_machine_holds_until_that_is_said_to_be_off(folder):
    folder.run(folder.artifact("build", "b"), day=2)
    folder.artifact("train", "a")
    folder.store.claim([("train", "a" * 16)])
    claim = next(folder.store.root.glob(".claims/*"))
    claim.rename(claim.with_name(f"claim.{ELSEWHERE}.json"))
    assert folder.garbage() == []
    assert folder.collect(Rules(machines=frozenset(["00000000"]))) == ["unused train a"]
    assert not list(folder.store.root.glob(".claims/*"))


@pytest.mark.parametrize("is_used", [True, False])
def test_an_artifact_that_a_killed_collection_moved_comes_back_only_if_used(folder, ended, is_used):
    train = folder.artifact("train", "a")
    if is_used:
        folder.run(train)
    place = folder.store.root / ".staging" / f"train-{'a' * 16}.{ended}.ab.replaced"
    train.path.rename(place)
    assert folder.collect() == ([] if is_used else ["left over train a"])
    assert train.path.is_dir() is is_used
    assert not place.exists()


def test_a_run_without_a_readable_record_keeps_what_it_links_to(folder):
    (folder.run(folder.artifact("train", "a")) / "run.json").write_text("[]")
    folder.run(folder.artifact("train", "b"), day=2)
    assert folder.garbage(Rules(keep=1, unfinished=True)) == []


def test_nothing_goes_where_a_kept_artifact_does_not_say_what_it_needs(folder):
    train = folder.artifact("train", "a")
    folder.run(train)
    folder.artifact("ingest", "b")
    (train.path / "manifest.json").write_text("{}")
    with pytest.raises(DamagedArtifactError, match="what it was made from") as raised:
        folder.garbage(ALL)
    assert (
        f"`python run_pipeline.py check --artifacts {folder.store.root}` says how to mend it; or "
        "give it up: "
    ) in str(raised.value)


@pytest.mark.parametrize("identity", [{}, "x"])
def test_nothing_goes_where_a_kept_artifact_names_its_inputs_otherwise(folder, identity):
    train = folder.artifact("train", "a")
    folder.run(train)
    values = {**train.manifest, "inputs": {"ingest": identity}}
    write_sealed(train.path / "manifest.json", values)
    with pytest.raises(DamagedArtifactError, match=r"what it was made from.*`.* check .*`"):
        folder.garbage(ALL)


def test_what_may_not_be_read_stays_and_ends_a_collection_only_if_used(folder, monkeypatch):
    train = folder.artifact("train", "a")
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.parent == train.path:
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert folder.garbage(ALL) == []
    run = folder.run(train)
    with pytest.raises(DamagedArtifactError, match=r"cannot be read now \(Permission denied\)"):
        folder.garbage(ALL)
    train = SimpleNamespace(path=run)
    with pytest.raises(DamagedArtifactError, match=r"run.json: cannot be read now \(Permission"):
        folder.garbage(ALL)


def test_files_of_the_user_beside_artifacts_and_runs_never_go(folder):
    train = folder.artifact("train", "a")
    for path in (train.path.with_name("notes.txt"), folder.run(train).with_name(".DS_Store")):
        path.touch()
    before = folder.tree()
    assert folder.collect(ALL) == []
    assert folder.tree() == before


def test_nothing_goes_where_the_runs_cannot_be_read(folder, monkeypatch):
    folder.run(folder.artifact("train", "a"))
    garbage = find_garbage(folder.store, Rules())
    iterdir = Path.iterdir

    def refuse(path):
        if path.name == "runs":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DamagedArtifactError, match="runs: cannot be read now"):
        find_garbage(folder.store, ALL)
    with pytest.raises(PermissionError):
        folder.store.discard("train", "a" * 16)
    assert (folder.store.root / "train" / ("a" * 16) / "model.keras").is_file()
    assert garbage.pieces == ()


def test_what_cannot_be_deleted_is_told_and_the_rest_goes(three_days, monkeypatch):
    rmtree = shutil.rmtree

    def refuse(path, **options):
        if "bbbb" in str(path) and not options:
            raise PermissionError(13, "Permission denied", str(path))
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    rules, failures = Rules(keep=1), []
    gone = collect(three_days.store, find_garbage(three_days.store, rules), rules, failures.append)
    assert sorted(map(name, gone)) == ["old run 2", "old run 2", "unused train c"]
    (failure,) = failures
    assert failure.startswith(f"{three_days.store.root}/train/{'b' * 16}: not deleted (")
    assert failure.endswith(": Permission denied)")


def test_a_collection_needs_no_room_on_the_disk(three_days, monkeypatch):
    three_days.store.tidy()

    def fail(path, *arguments, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "mkdir", fail)
    monkeypatch.setattr(Path, "write_text", fail)
    assert len(three_days.collect(Rules(keep=1))) == 4


def test_what_a_rival_deleted_first_is_no_failure(three_days):
    rules = Rules(keep=1)
    garbage = find_garbage(three_days.store, rules)
    three_days.collect(rules)
    assert collect(three_days.store, garbage, rules, pytest.fail) == ()


def test_what_came_into_use_since_it_was_found_stays(three_days):
    rules = Rules(keep=1)
    garbage = find_garbage(three_days.store, rules)
    three_days.store.claim([("train", "b" * 16)])
    late = three_days.run(open_artifact(three_days.store.root / "train" / ("c" * 16)), day=4)
    gone = collect(three_days.store, garbage, rules, pytest.fail)
    assert sorted(map(name, gone)) == ["old run 2", "old run 2"]
    assert open_artifact(late / "train").damage is None


def test_what_a_run_came_to_be_made_from_since_it_was_found_stays(folder):
    train = folder.artifact("train", "a")
    garbage = find_garbage(folder.store, ALL)
    assert [name(piece) for piece in garbage.pieces] == ["unfinished train a"]
    folder.run(folder.artifact("evaluate", "b", train))
    assert collect(folder.store, garbage, ALL, pytest.fail) == ()
    assert open_artifact(train.path).damage is None


def test_locks_that_nobody_holds_go(folder):
    folder.run(folder.artifact("train", "a"))
    with folder.store.lock("export", "b" * 16):
        (folder.store.root / ".locks" / f"train-{'a' * 16}.lock").touch()
        folder.collect()
        assert folder.inside(".locks") == [f"export-{'b' * 16}.lock"]


def test_a_folder_that_is_none_or_the_program_itself_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such folder; name the right one"):
        find_garbage(ArtifactStore(tmp_path / "artefacts"), Rules())
    with pytest.raises(ConfigError, match="the program's own folder"):
        find_garbage(ArtifactStore(ROOT), Rules())


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_asked(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(ConfigError, match="cannot be written, so nothing can be deleted"):
        delete_garbage.refuse_unwritable(folder.store)


CHANGING = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync")


def in_a_child(work, kill_at=None):
    """Does work in a child that is killed at a changing system call; gives how many it made."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        calls = 0

        def counted(function):
            def call(*arguments, **options):
                nonlocal calls
                if calls == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                calls += 1
                return function(*arguments, **options)

            return call

        for each in CHANGING:
            setattr(os, each, counted(getattr(os, each)))
        code = 1
        try:
            process_owner.this_process()
            work()
            os.write(writing, str(calls).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert was_killed is (kill_at is not None), status
    return int(text or -1)


def test_a_collection_killed_at_any_change_leaves_whole_things_and_a_rerun_ends_it(tmp_path):
    rules = Rules(keep=1, unfinished=True)

    model = Folder(tmp_path / "model")
    images = model.artifact("ingest", "a")
    for day, letter in enumerate("bc", 1):
        model.run(images, model.artifact("train", letter, images, day=day), day=day)
    model.artifact("build", "d")
    model.store.set_aside("build", "d" * 16)
    (model.store.scratch("train", "e" * 16) / "checkpoint").write_text("1")

    def copied(number):
        place = tmp_path / str(number)
        shutil.copytree(model.store.root, place, symlinks=True)
        return Folder(place)

    def collected(folder):
        return lambda: folder.collect(rules)

    reference = copied("reference")
    calls = in_a_child(collected(reference))
    assert calls > 20
    for kill_at in range(calls):
        folder = copied(kill_at)
        in_a_child(collected(folder), kill_at)
        assert_whole(folder)
        folder.collect(rules)
        assert_whole(folder)
        assert folder.tree() == reference.tree(), kill_at
        shutil.rmtree(folder.store.root)


def assert_whole(folder):
    for stage in ("ingest", "train"):
        for path in (folder.store.root / stage).glob("*/"):
            assert open_artifact(path).damage is None
    found = list_runs(folder.store)
    assert len(found) == len(list(folder.store.root.glob("runs/*")))
    assert found[-1].name == "20260102-100000-mnist"
    for run in found:
        for stage in ("ingest", "train"):
            assert open_artifact(run.path / stage).damage is None


def test_a_run_beside_a_collection_never_loses_what_it_claimed(tmp_path):
    """A child claims, looks, and reads, as execute() does, while everything unused is deleted."""
    folder = Folder(tmp_path / "artifacts")
    use = ("train", "a" * 16)

    def work():
        for _ in range(40):
            is_there = (folder.store.root / "train" / use[1]).is_dir()
            folder.store.claim([use])
            if not is_there or not (folder.store.root / "train" / use[1]).is_dir():
                folder.artifact("train", "a")
            for _ in range(5):
                found = folder.store.find(*use)
                assert found is not None
                assert found.damage is None
            folder.store.drop_claim()

    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    deleted, kept = 0, 0
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        try:
            if folder.store.discard(*use):
                deleted += 1
            else:
                kept += 1
        except FileNotFoundError:
            continue
    assert ended == (child, 0)
    assert deleted > 0
    assert kept > 0


def test_a_newer_run_that_did_not_come_as_far_does_not_push_out_the_last_that_did(three_days):
    images = next((three_days.store.root / "ingest").iterdir()).name[0]
    three_days.run(three_days.artifact("ingest", images), day=4)
    assert "unused train d" not in three_days.garbage(Rules(keep=1))
    assert three_days.garbage(Rules(keep=1)).count("unused train b") == 1
