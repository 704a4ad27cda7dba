"""What a far end may hold that no push put there: refused before anything is written."""

import errno
import hashlib
import os

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.core.command_hints import pip
from pipeline.core.errors import ConfigError, DamagedArtifactError, PipelineError, StageError
from pipeline.core.sealed_json import read_sealed, write_sealed
from pipeline.remote import remote_folder
from pipeline.remote.catalogs import is_name_of_run
from pipeline.remote.pull import pull
from pipeline.remote.remote_folder import open_remote_folder
from pipeline.remote.select import Choice
from pipeline.store.artifact import MANIFEST
from pipeline.store.store import ArtifactStore
from pipeline.workflow.runs import RECORD
from tests.remote.conftest import NO_SEARCH, QUIET

KEY = "0123456789abcdef"
TEXT = b"weights"
ENTRY = {"size_bytes": len(TEXT), "sha256": hashlib.sha256(TEXT).hexdigest()}
EVERYTHING = Choice(everything=True)


def manifest(files, stage="train", key=KEY, **more):
    texts = {"stage": stage, "key": key, "created": "2026", "summary": "made"}
    return {**texts, "inputs": {}, "ingredients": {}, "metrics": {}, "files": files, **more}


@pytest.fixture
def far(tmp_path):
    """An artifact at the far end, whose manifest a test rewrites."""
    place = tmp_path / "far" / "train" / KEY
    place.mkdir(parents=True)
    (place / "model.keras").write_bytes(TEXT)
    write_sealed(place / MANIFEST, manifest({"model.keras": ENTRY}))
    return tmp_path / "far"


def try_to_pull(far, choice=EVERYTHING):
    """Where it would pull to, and what was said; nothing may be there."""
    store = ArtifactStore(far.parent / "near")
    with pytest.raises(PipelineError) as caught:
        pull(store, open_remote_folder(str(far)), choice, QUIET)
    assert not any(path.is_file() for path in far.parent.rglob("*") if far not in path.parents)
    return store, str(caught.value)


def test_the_artifact_by_itself_is_good(far):
    store = ArtifactStore(far.parent / "near")
    assert pull(store, open_remote_folder(str(far)), EVERYTHING, QUIET).artifacts == 1
    assert store.intact("train", KEY).manifest["files"] == {"model.keras": ENTRY}


LEADING_ELSEWHERE = [
    "../outside",
    "a/../../outside",
    "/outside",
    "//outside",
    "a//b",
    "./a",
    "a/.",
    "a/..",
    ".",
    "",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "\ud800",
    "a" * 256,
    MANIFEST,
]


@pytest.mark.parametrize("name", LEADING_ELSEWHERE, ids=ascii)
def test_a_name_that_leads_elsewhere_is_refused(far, name):
    write_sealed(far / "train" / KEY / MANIFEST, manifest({name: ENTRY}))
    store, said = try_to_pull(far)
    assert "no stage publishes" in said or "not a manifest" in said
    assert not store.root.exists()


BAD_ENTRIES = {
    "negative size": {**ENTRY, "size_bytes": -1},
    "size that is no number": {**ENTRY, "size_bytes": "7"},
    "size that is a truth": {**ENTRY, "size_bytes": True},
    "digest that is a number": {**ENTRY, "sha256": 7},
    "digest that is short": {**ENTRY, "sha256": "ab"},
    "no digest": {"size_bytes": 7},
    "no table": [7],
}


@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_an_entry_that_describes_no_file_is_refused(far, entry):
    write_sealed(far / "train" / KEY / MANIFEST, manifest({"model.keras": entry}))
    store, _ = try_to_pull(far)
    assert not store.root.exists()


def test_a_file_within_a_file_is_refused(far):
    write_sealed(far / "train" / KEY / MANIFEST, manifest({"a": ENTRY, "a/b": ENTRY}))
    store, said = try_to_pull(far)
    assert "'a'" in said
    assert not store.root.exists()


@pytest.mark.parametrize(
    "names",
    [
        {"stage": "evaluate"},
        {"stage": "../.."},
        {"key": "fedcba9876543210"},
        {"key": "../../../../x"},
        {"inputs": {"../x": {"key": KEY}}},
        {"inputs": {"ingest": {"key": "../../x"}}},
    ],
    ids=str,
)
def test_a_manifest_of_another_artifact_or_of_none_is_refused(far, names):
    write_sealed(far / "train" / KEY / MANIFEST, manifest({"model.keras": ENTRY}, **names))
    store, said = try_to_pull(far)
    assert "not a manifest of train" in said
    assert not store.root.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", b"null"], ids=len)
def test_a_manifest_without_its_seal_is_refused(far, content):
    (far / "train" / KEY / MANIFEST).write_bytes(content)
    _, said = try_to_pull(far)
    assert "not as it was written; push it again" in said


def test_an_endless_manifest_is_refused_before_it_fills_the_memory(far, monkeypatch):
    monkeypatch.setattr(remote_folder, "LONGEST_RECORD_BYTES", 1 << 20)
    with (far / "train" / KEY / MANIFEST).open("wb") as file:
        file.truncate(1 << 40)
    assert "more than 1 MiB" in try_to_pull(far)[1]


def test_artifacts_that_say_they_are_made_from_each_other_end(far):
    identity = {"key": KEY, "content": "0" * 16}
    values = manifest({"model.keras": ENTRY}, inputs={"train": identity, "build": identity})
    write_sealed(far / "train" / KEY / MANIFEST, values)
    store = ArtifactStore(far.parent / "near")
    assert pull(store, open_remote_folder(str(far)), EVERYTHING, QUIET).artifacts == 1


@pytest.mark.parametrize("content", [TEXT[:-1], TEXT + b"!", TEXT.upper(), b""], ids=ascii)
def test_a_file_of_other_content_is_refused_and_nothing_published(far, content):
    (far / "train" / KEY / "model.keras").write_bytes(content)
    store, said = try_to_pull(far)
    assert "model.keras: is not the file that was published; push it again from where" in said
    assert not store.root.exists()


def test_a_file_that_never_ends_is_read_no_further_than_it_may(far, monkeypatch):
    read = []
    chunks = remote_folder.RemoteFolder.chunks

    def counted(self, name):
        for chunk in chunks(self, name):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(remote_folder.RemoteFolder, "chunks", counted)
    with (far / "train" / KEY / "model.keras").open("wb") as file:
        file.truncate(1 << 40)
    try_to_pull(far)
    assert sum(read) < 4 << 20


def test_a_file_that_is_not_there_is_named(far):
    (far / "train" / KEY / "model.keras").unlink()
    assert "model.keras: is missing; push it again" in try_to_pull(far)[1]


def test_more_than_the_disk_has_room_for_is_refused_first(far):
    huge = {**ENTRY, "size_bytes": 1 << 62}
    write_sealed(far / "train" / KEY / MANIFEST, manifest({"model.keras": huge}))
    assert "MiB are needed" in try_to_pull(far)[1]


@pytest.mark.parametrize("part", ["train", f"train/{KEY}", f"train/{KEY}/model.keras"])
def test_links_at_the_far_end_are_not_followed(far, part):
    aside = far.parent / "far-aside"
    (far / part).rename(aside)
    (far / part).symlink_to(aside)
    store = ArtifactStore(far.parent / "near")
    with pytest.raises(DamagedArtifactError, match=r"a link, where a file or folder was expected"):
        pull(store, open_remote_folder(str(far)), EVERYTHING, QUIET)
    assert not store.root.exists()


def test_a_push_does_not_write_through_a_link(sharing, folder):
    outside = folder / "outside"
    outside.mkdir()
    train = sharing.project.artifact("train", NO_SEARCH)
    (folder / "far" / "train").mkdir(parents=True)
    (folder / "far" / "train" / train.key).symlink_to(outside)
    with pytest.raises(DamagedArtifactError, match="a link"):
        sharing.push(folder / "far")
    assert list(outside.iterdir()) == []


BAD_NAMES = [
    "..",
    ".",
    "mnist",
    "20260102-030405-",
    "20260102-030405-a/../../b",
    "20260102-030405-\0",
    "20260102-030405-a\nb",
    "20260102-030405-\ud800",
    "20260102-030405-" + "a" * 250,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_is_none_of_a_run_is_refused(name):
    assert is_name_of_run("20260102-030405-mnist-2")
    assert not is_name_of_run(name)


def test_a_run_that_names_other_folders_or_one_stage_twice_is_none(sharing, folder):
    sharing.push(folder / "far")
    (path,) = (folder / "far" / "runs").glob(f"*/{RECORD}")
    record = read_sealed(path)
    made = record["stages"][0]
    for stages in ([{**made, "stage": "runs"}], [made, made], [{**made, "key": "../../x"}], []):
        write_sealed(path, {**record, "stages": stages})
        with pytest.raises(DamagedArtifactError, match="is there, but damaged"):
            sharing.pull(folder / "far")
    assert not (folder / "pulled").exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/x", f"needs the package s3fs; install it with: {pip('install', 's3fs')}"),
        ("gs://bucket/x", f"needs the package gcsfs; install it with: {pip('install', 'gcsfs')}"),
        ("sftp://me:secret@host/x", "sftp://host/x: needs the package paramiko"),
        ("nonesuch://x", "no protocol 'nonesuch'; try file://, s3:// or gs://"),
        ("simplecache::file:///x", "give the last part alone"),
        ("", "the URL '' names no folder; is a variable unset? Expected a path, file://"),
        (" ", "names no folder"),
        ("file://", "names no folder"),
        ("s3://", "names no folder"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url, said):
    with pytest.raises(ConfigError) as caught:
        open_remote_folder(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["open", "ls", "find"])
def test_what_a_store_says_is_told_in_one_line_without_its_password(
    sharing, memory, monkeypatch, method
):
    class TheirError(Exception):
        """No OSError, as those of the libraries behind s3:// and gs://."""

    def refuse(*args, **kwargs):
        raise TheirError("403 for x://me:secret@bucket")

    sharing.push(memory)
    monkeypatch.setattr(MemoryFileSystem, method, refuse)
    said = r"^memory://bucket/.*403 for x://bucket\. Check the address, your access"
    with pytest.raises(StageError, match=said):
        sharing.push(memory) if method == "find" else sharing.pull(memory, EVERYTHING)


TROUBLE = {
    errno.ENOSPC: "No space left on device. Make room on its disk (`df -h` and `df -i` tell), or ",
    errno.EDQUOT: "Disk quota exceeded. Make room within your quota, or ",
    errno.EROFS: "Read-only file system. It can only be read: ",
    errno.EACCES: "Permission denied. Give yourself access to it, or ",
}


@pytest.mark.parametrize("number", TROUBLE, ids=errno.errorcode.get)
def test_what_the_disk_of_a_far_end_says_is_told_with_the_remedy_that_fits(
    sharing, folder, monkeypatch, number
):
    def refuse(self, path, chunks):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(remote_folder.RemoteFolder, "fill", refuse)
    with pytest.raises(StageError) as caught:
        sharing.push(folder / "far")
    place, _, said = str(caught.value).partition(": ")
    assert place.startswith(f"{folder}/far/ingest/")
    assert not place.endswith(remote_folder.PARTIAL)
    assert said == f"{TROUBLE[number]}give another URL; then the same command goes on"


@pytest.mark.parametrize("part", ["far", "far/ingest"])
def test_a_far_end_that_is_a_file_is_told_in_one_line(sharing, folder, part):
    (folder / part).parent.mkdir(exist_ok=True)
    (folder / part).write_text("a file")
    said = r"A part of its path is a file: move that away, or give another URL; then the same .*$"
    with pytest.raises(StageError, match=said) as caught:
        sharing.push(folder / "far")
    assert "\n" not in str(caught.value)
