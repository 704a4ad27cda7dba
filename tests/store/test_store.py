"""The store: an artifact is there as it was published, or it is not there at all."""

import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core import durable, sealed_json
from pipeline.core.errors import ConfigError, DamagedArtifactError
from pipeline.core.plugins import ROOT
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.store import atomic_replace
from pipeline.store import store as store_module
from pipeline.store.artifact import MANIFEST, Artifact
from pipeline.store.process_owner import this_process
from pipeline.store.store import ArtifactStore
from pipeline.workflow.runs import list_runs

KEY = "0123456789abcdef"


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def manifest(stage="train", key=KEY, created="2026-01-01T00:00:00.000000+00:00", **more):
    return {
        "stage": stage,
        "key": key,
        "created": created,
        "summary": "made",
        "inputs": {},
        "ingredients": {},
        "metrics": {},
        **more,
    }


def publish(store, text="weights", **names):
    values = manifest(**names)
    with store.staging(values["stage"], values["key"]) as folder:
        (folder / "logs").mkdir()
        (folder / "model.keras").write_text(text)
        (folder / "logs" / "history.csv").write_text("epoch\n1\n")
        return store.publish(folder, values)


def hidden_files(store, name):
    return list((store.root / f".{name}").rglob("*"))


def test_a_published_artifact_is_found_with_its_files(store):
    published = publish(store)
    found = store.find("train", KEY)
    assert found.path == published.path == store.root / "train" / KEY
    assert found.manifest == published.manifest
    assert (found.stage, found.key, found.damage) == ("train", KEY, None)
    assert found.manifest["files"]["model.keras"] == {
        "size_bytes": 7,
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    assert set(found.manifest["files"]) == {"model.keras", "logs/history.csv"}


def test_what_was_never_published_is_not_found(store):
    publish(store)
    assert store.find("train", "f" * 16) is None
    assert store.find("export", KEY) is None


def test_a_folder_without_a_manifest_is_no_artifact(store):
    publish(store).path.joinpath(MANIFEST).unlink()
    with pytest.raises(DamagedArtifactError, match="no readable manifest"):
        store.find("train", KEY)
    assert store.latest("train") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        "[" * 100_000,
        "{}",
        json.dumps({**manifest(), "files": ["model.keras"]}),
        json.dumps({**manifest(), "files": {"model.keras": 7}}),
        json.dumps({**manifest(), "files": {"model.keras": {"size_bytes": 7}}}),
        json.dumps({**manifest(), "files": {}, "ingredients": None}),
    ],
    ids=lambda text: text[:40],
)
def test_a_manifest_that_is_not_one_is_damage_and_no_crash(store, text):
    path = publish(store).path / MANIFEST
    path.write_text(text)
    with pytest.raises(DamagedArtifactError, match=str(path)):
        store.find("train", KEY)
    assert store.latest("train") is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_what_cannot_be_read_now_is_no_damage(store, monkeypatch, number):
    published = publish(store)

    def fail(path):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("pipeline.store.artifact.read_sealed", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        store.find("train", KEY)
    assert not isinstance(raised.value, DamagedArtifactError)
    assert published.path.is_dir()


def test_an_artifact_in_the_wrong_place_is_damage(store):
    published = publish(store)
    published.path.rename(published.path.with_name("f" * 16))
    with pytest.raises(DamagedArtifactError, match="holds the artifact of train"):
        store.find("train", "f" * 16)


def test_a_missing_file_or_another_size_is_noticed_when_it_is_found(store):
    model = publish(store).path / "model.keras"
    model.write_text("weights!")
    with pytest.raises(
        DamagedArtifactError, match=f"{model}: missing or not of its published size"
    ):
        store.find("train", KEY)
    model.unlink()
    with pytest.raises(DamagedArtifactError, match=f"{model}: missing"):
        store.find("train", KEY)


def test_a_changed_byte_is_noticed_when_the_files_are_read(store):
    publish(store)
    artifact = store.find("train", KEY)
    (artifact.path / "model.keras").write_text("Weights")
    assert store.find("train", KEY).damage == (
        f"{artifact.path / 'model.keras'} is not the file that was published"
    )
    (artifact.path / "model.keras").unlink()
    assert artifact.damage == f"{artifact.path / 'model.keras'} is missing"


def test_the_identity_tells_two_contents_of_one_key_apart(store):
    first, same = publish(store), publish(store)
    other = publish(store, text="Weights")
    assert first.identity == same.identity
    assert first.identity["key"] == other.identity["key"]
    assert first.identity["content"] != other.identity["content"]


def test_set_aside_moves_an_artifact_whole_to_the_quarantine(store):
    publish(store)
    place = store.set_aside("train", KEY)
    assert store.find("train", KEY) is None
    assert place.parent == store.root / ".quarantine"
    assert (place / "model.keras").read_text() == "weights"


def test_what_a_rival_set_aside_first_is_no_error(store):
    publish(store)
    store.set_aside("train", KEY)
    assert not store.set_aside("train", KEY).exists()


def test_the_latest_artifact_of_a_stage_is_the_one_created_last(store):
    publish(store, key="b" * 16, created="2026-01-02T00:00:00.000000+00:00")
    publish(store, key="a" * 16, created="2026-01-03T00:00:00.000000+00:00")
    publish(store, key="c" * 16, created="2026-01-01T00:00:00.000000+00:00")
    assert store.latest("train").key == "a" * 16
    assert store.latest("export") is None


def test_the_latest_by_some_configs_is_none_of_another(store):
    for day, (key, name) in enumerate([("a", "mnist"), ("b", "mnist"), ("c", "photos")], 1):
        created = f"2026-01-0{day}T00:00:00.000000+00:00"
        publish(store, key=key * 16, created=created, config={"name": name})
    assert store.latest("train", lambda config: config["name"] == "mnist").key == "b" * 16
    assert store.latest("train", lambda config: config["name"] == "unknown") is None


def test_a_staging_folder_is_gone_after_an_exception(store):
    def fail_half_way():
        with store.staging("train", KEY) as folder:
            (folder / "half").write_text("a model")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert hidden_files(store, "staging") == []
    assert store.find("train", KEY) is None


def test_staging_folders_of_one_key_are_apart(store):
    with store.staging("train", KEY) as first, store.staging("train", KEY) as second:
        assert first != second


def test_tidying_leaves_the_empty_scratch_of_a_run_that_is_at_work(store):
    with store.lock("train", KEY):
        scratch = store.scratch("train", KEY)
        store.tidy()
        assert scratch.is_dir()
    store.tidy()
    assert not store.root.exists()


def test_a_second_publisher_of_a_key_replaces_the_first_whole(store):
    publish(store, text="first")
    publish(store, text="second")
    found = store.find("train", KEY)
    assert (found.path / "model.keras").read_text() == "second"
    assert found.damage is None
    assert hidden_files(store, "quarantine") == hidden_files(store, "staging") == []


def test_publishing_clears_the_scratch_folder_of_the_key_alone(store):
    mine, other = store.scratch("train", KEY), store.scratch("train", "f" * 16)
    (mine / "state").write_text("1")
    assert store.scratch("train", KEY) == mine
    publish(store)
    assert not mine.exists()
    assert other.exists()


def test_files_reach_the_disk_before_the_manifest_and_that_before_the_rename(store, monkeypatch):
    events = []
    sync, rename = store_module.sync, Path.rename

    def noted_sync(path):
        events.append(path.name)
        sync(path)

    def noted_rename(path, target):
        events.append("rename")
        return rename(path, target)

    store.prepare(["train"])
    for module in (store_module, atomic_replace, sealed_json, durable):
        monkeypatch.setattr(module, "sync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    publish(store)
    files, after = events[:3], events[3:]
    assert sorted(files) == ["history.csv", "logs", "model.keras"]
    assert after[0] == MANIFEST
    assert after[1].startswith(f"train-{KEY}.")
    assert after[2:] == ["artifacts", "rename", "rename", "train"]  # the first looks for an old one


@pytest.mark.parametrize("crashing", ["manifest", "rename"])
def test_a_crash_while_publishing_leaves_no_artifact(store, monkeypatch, crashing):
    def crash(*arguments):
        raise OSError(28, "No space left on device")

    if crashing == "manifest":
        monkeypatch.setattr(store_module, "write_manifest", crash)
    else:
        monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(OSError, match="No space left"):
        publish(store)
    assert store.find("train", KEY) is None
    assert hidden_files(store, "staging") == []


def test_a_power_cut_before_the_rename_leaves_no_artifact(store, monkeypatch):
    """Nothing is cleaned up then: the staging folder stays, and counts for nothing."""
    monkeypatch.setattr(store_module.shutil, "rmtree", lambda *a, **k: None)
    monkeypatch.setattr(Path, "rename", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        publish(store)
    assert [p.name for p in hidden_files(store, "staging") if p.name == MANIFEST]
    assert store.find("train", KEY) is None
    assert store.latest("train") is None


def test_an_artifacts_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be used for artifacts: .*--artifacts"):
        ArtifactStore(tmp_path / "file").prepare()


def test_the_programs_own_folder_is_refused():
    with pytest.raises(ConfigError, match="is the program's own folder"):
        ArtifactStore(ROOT).prepare()


def test_any_changed_character_of_a_manifest_is_damage(store):
    path = publish(store).path / MANIFEST
    text = path.read_text()
    for place, character in enumerate(text):
        path.write_text(f"{text[:place]}{'X' if character != 'X' else 'Y'}{text[place + 1 :]}")
        with pytest.raises(DamagedArtifactError):
            store.find("train", KEY)
    for other in (text + "\n", text.rstrip(), text.replace("  ", " ")):
        path.write_text(other)
        with pytest.raises(DamagedArtifactError):
            store.find("train", KEY)
    path.write_text(text)
    assert store.find("train", KEY).damage is None


@pytest.mark.parametrize("how", ["link to the file", "link in its path", "out of the folder"])
def test_a_file_that_is_elsewhere_is_damage_even_with_the_right_content(store, tmp_path, how):
    artifact = publish(store)
    path = artifact.path
    if how == "link to the file":
        (path / "model.keras").rename(tmp_path / "model.keras")
        (path / "model.keras").symlink_to(tmp_path / "model.keras")
    elif how == "link in its path":
        (path / "logs").rename(tmp_path / "logs")
        (path / "logs").symlink_to(tmp_path / "logs")
    else:
        (path / "model.keras").rename(path.parent / "model.keras")
        files = dict(artifact.manifest["files"])
        files["../model.keras"] = files.pop("model.keras")
        artifact = Artifact(path, {**artifact.manifest, "files": files})
    assert "is missing" in artifact.damage
    assert "missing" in artifact.misfit


def test_what_an_ended_process_left_is_swept_and_what_a_live_one_writes_is_not(store):
    mine = ended_process()
    for owner, name in ((mine, "train"), (this_process(), "tune"), ("0" * 8 + ".1.1", "export")):
        (store.root / ".staging" / f"{name}-{KEY}.{owner}.ab" / "logs").mkdir(parents=True)
    store.prepare()
    left = [path.name.partition("-")[0] for path in store.root.glob(".staging/*")]
    assert sorted(left) == ["export", "tune"]


@pytest.mark.parametrize(("rival", "expected"), [(False, "old"), (True, "new")])
def test_an_artifact_on_its_way_out_comes_back_unless_its_place_is_taken(store, rival, expected):
    old = publish(store, text="old")
    place = store.root / ".staging" / f"train-{KEY}.{ended_process()}.ab.replaced"
    place.parent.mkdir(exist_ok=True)
    old.path.rename(place)
    if rival:
        publish(store, text="new")
    store.prepare()
    assert (store.find("train", KEY).path / "model.keras").read_text() == expected
    assert hidden_files(store, "staging") == []


def test_half_an_artifact_on_its_way_out_does_not_come_back(store):
    old = publish(store)
    (old.path / "model.keras").unlink()
    place = store.root / ".staging" / f"train-{KEY}.{ended_process()}.ab.replaced"
    place.parent.mkdir(exist_ok=True)
    old.path.rename(place)
    store.prepare()
    assert store.find("train", KEY) is None
    assert hidden_files(store, "staging") == []


@pytest.mark.parametrize("before", [True, False])
def test_a_disk_that_fails_after_the_rename_publishes_nothing(store, monkeypatch, before):
    if before:
        publish(store, text="old")
    sync = atomic_replace.sync

    def fail(path):
        if path.name == "train":
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(atomic_replace, "sync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        publish(store, text="new")
    found = store.find("train", KEY)
    assert (found and (found.path / "model.keras").read_text()) == ("old" if before else None)
    assert hidden_files(store, "staging") == []


@pytest.mark.parametrize("before", [True, False])
def test_a_run_that_removes_empty_folders_at_the_wrong_moment_stops_no_other(
    store, monkeypatch, before
):
    if before:
        publish(store, text="old")
    rename, mkdir, times = Path.rename, Path.mkdir, ["rename", "mkdir"]

    def hindered_rename(path, target):
        if target.parent.name == "train" and "rename" in times:
            times.remove("rename")
            target.parent.rmdir()
        return rename(path, target)

    def hindered_mkdir(path, *arguments, **options):
        if path.name.startswith(f"train-{KEY}") and "mkdir" in times:
            times.remove("mkdir")
            raise FileNotFoundError
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "rename", hindered_rename)
    monkeypatch.setattr(Path, "mkdir", hindered_mkdir)
    publish(store, text="new")
    assert times == []
    assert (store.find("train", KEY).path / "model.keras").read_text() == "new"
    assert hidden_files(store, "staging") == []


def test_claims_hold_until_they_are_dropped_or_their_process_ends(store):
    store.claim([("train", KEY)])
    claim = next(store.root.glob(".claims/*"))
    assert store.claimed() == {("train", KEY)}
    claim.rename(claim.with_name(f"claim.{ended_process()}.json"))
    assert store.claimed() == set()
    store.prepare()
    assert hidden_files(store, "claims") == []
    store.claim([("export", KEY)])
    store.drop_claim()
    assert store.claimed() == set()


def test_an_artifact_is_discarded_unless_a_run_claims_it(store):
    publish(store)
    store.claim([("train", KEY)])
    assert not store.discard("train", KEY)
    assert store.find("train", KEY).damage is None
    store.drop_claim()
    assert store.discard("train", KEY)
    assert store.find("train", KEY) is None
    assert hidden_files(store, "staging") == []


def test_an_artifact_that_a_run_links_to_is_not_discarded(store):
    run = store.root / "runs" / "20260101-000000-mnist"
    run.mkdir(parents=True)
    publish(store)
    (run / "train").symlink_to(f"../../train/{KEY}")
    assert not store.discard("train", KEY)
    assert (run / "train" / MANIFEST).is_file()
    assert store.discard_run(run.name)
    assert store.discard("train", KEY)


def test_a_run_that_ends_while_an_artifact_is_discarded_keeps_it(store, monkeypatch):
    """Its claim is there when claims are read, or its links are when links are read."""
    run = store.root / "runs" / "20260101-000000-mnist"
    publish(store)
    store.claim([("train", KEY)])
    claimed = ArtifactStore.claimed

    def end_just_before(store):
        if not run.exists():
            run.mkdir(parents=True)
            (run / "train").symlink_to(f"../../train/{KEY}")
            store.drop_claim()
        return claimed(store)

    monkeypatch.setattr(ArtifactStore, "claimed", end_just_before)
    assert not store.discard("train", KEY)
    assert store.find("train", KEY).damage is None


def test_an_artifact_comes_back_where_claims_cannot_be_read(store, monkeypatch):
    publish(store)
    store.claim([("train", "f" * 16)])
    claim = next(store.root.glob(".claims/*"))
    linked = ArtifactStore.linked

    def spoil(store):
        claim.write_text("{")
        return linked(store)

    monkeypatch.setattr(ArtifactStore, "linked", spoil)
    with pytest.raises(DamagedArtifactError, match=f"{claim}: cannot be read"):
        store.discard("train", KEY)
    assert store.find("train", KEY).damage is None
    assert hidden_files(store, "staging") == []


def test_what_was_made_anew_while_it_was_discarded_stays(store, monkeypatch):
    publish(store, text="old")

    def make_anew(store):
        if store.find("train", KEY):  # it is asked before the rename too
            return set()
        publish(store, text="new")
        return {("train", KEY)}

    monkeypatch.setattr(ArtifactStore, "claimed", make_anew)
    assert not store.discard("train", KEY)
    assert (store.find("train", KEY).path / "model.keras").read_text() == "new"
    assert hidden_files(store, "staging") == []


def test_an_artifact_comes_back_to_a_run_that_claimed_it_without_a_lock(store, monkeypatch):
    publish(store)

    def claim_late(store):
        return set() if (store.root / "train" / KEY).is_dir() else {("train", KEY)}

    monkeypatch.setattr(ArtifactStore, "claimed", claim_late)
    assert not store.discard("train", KEY)
    assert store.find("train", KEY).damage is None


def is_locked(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_claims_and_deletions_keep_each_other_off(store, monkeypatch):
    publish(store)
    seen = []

    def noted(move):
        def noted_move(path, target):
            seen.append(is_locked(store.root))
            return move(path, target)

        return noted_move

    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, noted(getattr(Path, name)))
    store.claim([("train", "f" * 16)])
    assert store.discard("train", KEY)
    assert seen == [True, True]
    assert not is_locked(store.root)


def test_a_claim_is_made_though_another_run_removes_the_empty_folder(store, monkeypatch):
    replace = Path.replace
    store.prepare()

    def remove_first(path, target):
        if path.name.startswith("claim.") and not list(store.root.glob(".locks/seen")):
            (store.root / ".claims").rmdir()
            (store.root / ".locks" / "seen").mkdir(parents=True)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", remove_first)
    store.claim([("train", KEY)])
    assert store.claimed() == {("train", KEY)}


def test_scratch_is_discarded_unless_a_run_claims_it(store):
    (store.scratch("train", KEY) / "state").write_text("1")
    store.claim([("train", KEY)])
    assert not store.discard_scratch("train", KEY)
    assert (store.scratch("train", KEY) / "state").read_text() == "1"
    store.drop_claim()
    assert store.discard_scratch("train", KEY)
    assert hidden_files(store, "scratch") == []


def test_a_stage_folder_on_another_file_system_is_refused_before_anything_runs(store, monkeypatch):
    store.prepare()
    shm = Path("/dev/shm")
    if shm.stat().st_dev == store.root.stat().st_dev:
        pytest.skip("no second file system here")
    (store.root / "train").symlink_to(shm)
    with pytest.raises(ConfigError, match=r"train: lies on another file system than .*staging"):
        store.prepare(["train"])


def ended_process():
    """The owner that a process was which has ended."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pipeline.store.process_owner import this_process; print(this_process())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "odd",
    [
        {"inputs": {"ingest": {}}},
        {"inputs": {"ingest": "x"}},
        {"inputs": {"../..": {"key": KEY}}},
        {"files": {"/etc/hostname": {"size_bytes": 1, "sha256": ""}}},
    ],
    ids=str,
)
def test_a_sealed_manifest_that_names_what_is_none_is_damage(store, odd):
    path = publish(store).path
    write_sealed(path / MANIFEST, {**manifest(files={}), **odd})
    with pytest.raises(DamagedArtifactError, match="not a manifest of this program"):
        store.find("train", KEY)


def test_a_lock_that_was_never_held_is_left_to_its_holder(store, monkeypatch):
    def fail(self, *arguments, **options):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with store.lock("train", KEY):
        held = next(store.root.glob(".locks/*"))
        with monkeypatch.context() as broken:
            broken.setattr("filelock.FileLock.acquire", fail)
            with store.lock("train", KEY):
                pass
        assert held.exists()


def test_an_unreadable_artifact_does_not_keep_the_latest_from_being_found(store, monkeypatch):
    publish(store)
    other = publish(store, key="f" * 16, created="2026-02-01T00:00:00.000000+00:00").path

    def fail(path):
        if path.parent == other:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read_sealed(path)

    monkeypatch.setattr("pipeline.store.artifact.read_sealed", fail)
    assert store.latest("train").key == KEY


def test_machines_of_one_name_are_told_apart_by_their_numbers(monkeypatch, tmp_path):
    found = set()
    for number in ("1", "2"):
        (tmp_path / number).write_text(number)
        monkeypatch.setattr("pipeline.store.process_owner.MACHINE_ID", tmp_path / number)
        found.add(this_process().machine)
    assert len(found) == 2


def test_a_folder_of_the_users_stays_though_it_is_empty(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    store = ArtifactStore(mine)
    store.prepare()
    store.tidy()
    assert list(mine.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "remedy"),
    [
        ("linux", "name a folder on another file system with --artifacts"),
        ("win32", "turn on Windows' Developer Mode (Settings, For developers)"),
    ],
)
def test_a_folder_without_links_is_refused_before_any_work(store, monkeypatch, platform, remedy):
    def refuse(path, target, target_is_directory=False):
        raise OSError(errno.EPERM, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(store_module.sys, "platform", platform)
    with pytest.raises(ConfigError) as caught:
        store.prepare()
    assert str(caught.value) == (
        f"{store.root}: links cannot be made there (Operation not permitted), and a run is a "
        f"folder of links; {remedy}"
    )


def test_a_full_disk_is_not_taken_for_one_without_links(store, monkeypatch):
    def refuse(path, target, target_is_directory=False):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(ConfigError, match="Make room on its disk"):
        store.prepare()


def test_a_lock_whose_file_cannot_be_removed_is_given_back(store, monkeypatch):
    """As on Windows, where it is open."""

    def refuse(path, missing_ok=False):
        raise PermissionError(errno.EACCES, "Access is denied", str(path))

    waited = []
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with store.lock("train", KEY):
            pass
    with store.lock("train", KEY, lambda: waited.append(1)):
        assert waited == []


def test_a_folder_that_another_run_removes_as_it_is_looked_into_is_an_empty_one(store, monkeypatch):
    """A run that made nothing takes its empty folders away while others begin."""
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: path.name[0] == "." or is_dir(path))
    store.prepare()
    assert list_runs(store) == []
