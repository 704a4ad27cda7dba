"""check: everything that is not as it was published is found, and nothing else is."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.sealed_json import SEAL, write_sealed
from pipeline.maintenance import integrity
from pipeline.maintenance.integrity import Kind, check
from pipeline.store import artifact as artifact_module
from pipeline.store.artifact import MANIFEST
from pipeline.store.store import ArtifactStore

CHECK_THE_DISK = "give yourself access or check the disk"
KEY, OTHER = "0123456789abcdef", "f" * 16


class Quiet:
    """A progress that only counts."""

    def __init__(self):
        self.total = self.done = 0

    @contextmanager
    def task(self, description, total):
        self.total = total
        yield self

    def advance(self, steps=1, note=""):
        self.done += steps


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def publish(store, stage="train", key=KEY, text="weights"):
    with store.staging(stage, key) as folder:
        (folder / "logs").mkdir()
        (folder / "model.keras").write_text(text)
        (folder / "logs" / "a.csv").write_text("1\n")
        manifest = {
            "stage": stage,
            "key": key,
            "created": "2026-01-01T00:00:00.000000+00:00",
            "summary": "made",
            "inputs": {},
            "ingredients": {},
            "metrics": {},
        }
        return store.publish(folder, manifest).path


def record(store, *stages, key=KEY, name="20260101-000000-mnist", **others):
    folder = store.root / "runs" / name
    folder.mkdir(parents=True)
    for stage in stages:
        (folder / stage).symlink_to(f"../../{stage}/{key}")
    said = {"key": key, "reason": "forced", "summary": "made"}
    values = {
        "config_name": "mnist",
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1,
        "stages": [{"stage": stage, **said} for stage in stages],
        "config": {"data": {"source": "idx"}},
        **others,
    }
    write_sealed(folder / "run.json", values)
    return folder


def damage_in(path):
    """What is said of an artifact; None where it is whole."""
    problems = check(ArtifactStore(path.parents[1]), Quiet()).problems
    return {(each.stage, each.name): each.what for each in problems}.get(path.parts[-2:])


def found(store):
    return [(each.kind, each.place, each.what) for each in check(store, Quiet()).problems]


def test_what_is_as_it_was_published_is_well(store):
    publish(store)
    publish(store, "export", OTHER)
    record(store, "train")
    progress = Quiet()
    findings = check(store, progress)
    assert (findings.problems, findings.remarks) == ((), ())
    assert (findings.artifacts, findings.runs) == (2, 1)
    sizes = [path.stat().st_size for path in store.root.glob("[et]*/**/*") if path.is_file()]
    assert findings.size_bytes == sum(sizes)
    assert (progress.total, progress.done) == (6, 4)


def test_every_flipped_bit_is_found(store):
    path = publish(store)
    for file in (path / MANIFEST, path / "model.keras", path / "logs" / "a.csv"):
        whole = file.read_bytes()
        with file.open("r+b", buffering=0) as opened:
            for place, byte in enumerate(whole):
                for bit in range(8):
                    os.pwrite(opened.fileno(), bytes([byte ^ 1 << bit]), place)
                    assert damage_in(path), (file, place, bit)
                os.pwrite(opened.fileno(), bytes([byte]), place)
    assert damage_in(path) is None


def test_every_truncation_is_found(store):
    path = publish(store)
    for file in (path / MANIFEST, path / "model.keras", path / "logs" / "a.csv"):
        whole = file.read_bytes()
        for length in range(len(whole)):
            file.write_bytes(whole[:length])
            assert damage_in(path), (file, length)
        file.write_bytes(whole)


def test_a_damage_names_three_files_and_counts_the_rest(store):
    with store.staging("train", KEY) as folder:
        for name in "abcde":
            (folder / name).write_text(name)
        manifest = json.loads((publish(store, key=OTHER) / MANIFEST).read_text())
        path = store.publish(folder, {**manifest, "key": KEY}).path
    (path / "a").unlink()
    for name in "bcd":
        (path / name).write_text("x")
    ((kind, place, what),) = found(store)
    assert (kind, place) == (Kind.DAMAGED, f"train/{KEY}")
    changed = "is not the file that was published"
    assert what == f"a is missing, b {changed}, c {changed} and 1 more"


def test_a_file_that_cannot_be_read_now_is_no_damage(store, monkeypatch):
    publish(store)

    def fail(file):
        raise OSError(5, "Input/output error", str(file))

    monkeypatch.setattr(artifact_module, "sha256", fail)
    what = f"logs/a.csv cannot be read now (Input/output error); {CHECK_THE_DISK}"
    assert found(store) == [(Kind.UNREADABLE, f"train/{KEY}", what)]


def test_what_may_not_be_read_is_no_damage_and_ends_nothing(store, monkeypatch):
    publish(store)
    publish(store, key=OTHER)
    run = record(store, "train")
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.parent.name in (KEY, run.name):
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    what = f"cannot be read now (Permission denied); {CHECK_THE_DISK}"
    assert found(store) == [
        (Kind.UNREADABLE, f"train/{KEY}", f"manifest.json {what}"),
        (Kind.UNREADABLE, f"runs/{run.name}", f"run.json {what}"),
    ]


def test_swapped_artifacts_are_found(store):
    paths = [publish(store), publish(store, key=OTHER), publish(store, "export")]
    for first, second, said in ((0, 1, f"train/{OTHER}"), (0, 2, f"export/{KEY}")):
        swap(paths[first], paths[second])
        assert len(found(store)) == 2
        assert damage_in(paths[first]) == f"holds {said}"
        swap(paths[first], paths[second])
    assert found(store) == []


def swap(first, second):
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def test_an_artifact_of_this_key_from_another_store_is_well(store, tmp_path):
    theirs = publish(ArtifactStore(tmp_path / "theirs"), text="Weights")
    shutil.rmtree(publish(store))
    shutil.copytree(theirs, store.root / "train" / KEY)
    assert found(store) == []


def without_seal(values):
    return {name: value for name, value in values.items() if name != SEAL}


@pytest.mark.parametrize(
    "change",
    [
        without_seal,
        lambda values: {"name": "a package"},
        lambda values: {**values, "summary": "better"},
    ],
    ids=["former format", "foreign", "edited"],
)
def test_a_manifest_that_was_not_written_so_is_found(store, change):
    path = publish(store)
    values = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(change(values), indent=2) + "\n")
    assert damage_in(path) == "manifest.json: no readable manifest (not as it was written)"


def test_the_manifest_of_another_artifact_is_found(store):
    path, other = publish(store), publish(store, key=OTHER, text="Weights")
    shutil.copy(other / MANIFEST, path / MANIFEST)
    assert damage_in(path) == f"holds train/{OTHER}"


def test_links_are_found(store, tmp_path):
    path = publish(store)
    (path / "model.keras").rename(tmp_path / "model.keras")
    (path / "model.keras").symlink_to(tmp_path / "model.keras")
    assert damage_in(path) == "model.keras is missing"
    other = publish(store, key=OTHER)
    other.rename(tmp_path / "other")
    other.symlink_to(tmp_path / "other")
    assert damage_in(other) == "a link, not an artifact's folder"


def test_what_is_no_artifact_is_found_in_an_artifacts_place(store):
    (store.root / "train" / KEY).mkdir(parents=True)
    (store.root / "train" / OTHER).touch()
    shutil.copytree(publish(store, "export"), store.root / "export" / "backup")
    assert found(store) == [
        (Kind.DAMAGED, f"train/{KEY}", "has no manifest.json, so it is no artifact"),
        (Kind.DAMAGED, f"train/{OTHER}", "a file, not an artifact's folder"),
        (Kind.DAMAGED, "export/backup", f"holds export/{KEY}"),
    ]


def test_what_is_of_the_user_is_a_remark_wherever_it_lies(store):
    publish(store)
    record(store, "train")
    for name in ("train/backup", "mine", "runs/best"):
        (store.root / name).mkdir()
    for name in ("train/notes.txt", "runs/.DS_Store"):
        (store.root / name).touch()
    findings = check(store, Quiet())
    assert (findings.problems, findings.artifacts, findings.runs) == ((), 1, 1)
    names = ("mine", "train/backup", "train/notes.txt", "runs/.DS_Store", "runs/best")
    assert findings.remarks == tuple(f"{name}: not of this program; left alone" for name in names)


def test_a_file_beside_those_of_the_manifest_is_a_remark(store):
    path = publish(store)
    for name in ("a", "b"):
        (path / "logs" / name).touch()
    findings = check(store, Quiet())
    assert findings.problems == ()
    (remark,) = findings.remarks
    assert remark.startswith(f"train/{KEY}: logs/a and 1 more not in its manifest")


def test_what_is_not_published_is_counted(store):
    publish(store)
    store.set_aside("train", KEY)
    (store.scratch("train", OTHER) / "checkpoint").write_text("12345")
    findings = check(store, Quiet())
    assert findings.unpublished[".scratch"] == (1, 5)
    assert findings.unpublished[".quarantine"][0] == 1


def test_an_artifact_that_a_run_replaces_meanwhile_is_no_damage(store, monkeypatch):
    path = publish(store)
    damage_of = artifact_module.Artifact.damage_of
    replaced = []

    def replace_first(artifact, name):
        if not replaced:
            replaced.append(publish(store, text="Weights"))
        return damage_of(artifact, name)

    monkeypatch.setattr(artifact_module.Artifact, "damage_of", replace_first)
    assert found(store) == []
    (path / "model.keras").write_text("weights")
    assert len(found(store)) == 1


def test_an_artifact_that_goes_while_it_is_looked_at_is_no_damage(store, monkeypatch):
    path = publish(store)
    damage_of = artifact_module.Artifact.damage_of

    def remove_first(artifact, name):
        shutil.rmtree(path, ignore_errors=True)
        return damage_of(artifact, name)

    monkeypatch.setattr(artifact_module.Artifact, "damage_of", remove_first)
    findings = check(store, Quiet())
    assert (findings.problems, findings.remarks, findings.artifacts) == ((), (), 0)


def test_an_artifact_that_is_away_for_a_moment_is_not_missing(store, monkeypatch):
    path = publish(store)
    record(store, "train")
    read_run = integrity.open_run
    lstat, looks = Path.lstat, []

    def away_once(place):
        if place == path and looks:
            looks.pop()
            raise FileNotFoundError
        return lstat(place)

    def open_run(folder):
        looks.append(folder)
        return read_run(folder)

    monkeypatch.setattr(integrity, "open_run", open_run)
    monkeypatch.setattr(Path, "lstat", away_once)
    assert found(store) == []
    assert looks == []


def test_runs_that_lack_what_they_used_are_named_once_an_artifact(store):
    for day in (1, 2):
        record(store, "train", name=f"2026010{day}-000000-mnist")
    what = "not there, but run 20260102-000000-mnist and 1 more used it"
    assert found(store) == [(Kind.MISSING, f"train/{KEY}", what)]


def test_the_latest_run_that_used_what_is_lost_tells_the_call_and_gc_takes_the_rest(store):
    for stage, key in (("train", KEY), ("export", KEY), ("build", OTHER)):
        (publish(store, stage, key) / "model.keras").write_text("spoilt")
    words = ["-c", "my config.yaml", "train.epochs=2"]
    record(store, "train", "export", "evaluate", name="20260101-000000-a", words=words)
    record(store, "train", name="20260102-000000-b")
    start, end = "python run_pipeline.py", f"--artifacts {store.root}"
    assert check(store, Quiet()).calls == (
        f"{start} run -c mnist.yaml --force train {end}",
        f"{start} run -c 'my config.yaml' train.epochs=2 --force evaluate --force export {end}",
        f"{start} gc {end}",
    )


def test_a_link_that_is_not_as_the_run_recorded_it_is_found(store):
    publish(store)
    publish(store, key=OTHER)
    run = record(store, "train")
    (run / "train").unlink()
    what = f"should link to ../../train/{KEY}, as run.json says; {integrity.IN_YOUR_HANDS}"
    expected = [(Kind.BAD_LINK, f"runs/{run.name}/train", what)]
    assert found(store) == expected
    (run / "train").symlink_to(f"../../train/{OTHER}")
    assert found(store) == expected


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"stages": [{}]}'])
def test_a_run_without_a_readable_record_is_found(store, text):
    run = record(store)
    (run / "run.json").write_text(text)
    ((kind, place, what),) = found(store)
    assert (kind, place) == (Kind.BAD_RUN, f"runs/{run.name}")
    assert what.startswith("run.json: ")


@pytest.mark.parametrize(("stage", "key"), [("train", "../.."), ("/etc", KEY)])
def test_a_run_that_names_no_artifact_is_found(store, stage, key):
    run = record(store, "train")
    values = json.loads((run / "run.json").read_text())
    values["stages"][0] |= {"stage": stage, "key": key}
    write_sealed(run / "run.json", values)
    assert [problem[0] for problem in found(store)] == [Kind.BAD_RUN]


def test_a_folder_that_is_not_there_is_refused(store):
    with pytest.raises(ConfigError, match="no such folder"):
        check(store, Quiet())
