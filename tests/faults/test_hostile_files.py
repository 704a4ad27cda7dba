"""Files that try to reach a canary are refused, and the canary stays untouched."""

import re
from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest

from export.formats.format import formats, refuse_external_access
from export.keras_files import load
from export.verification import golden_replay
from pipeline.config.loading import load_config
from pipeline.core import plugins
from pipeline.core.content import sha256
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.training.checkpoint import CheckpointFile
from tests.command_line import call_here
from tests.hostile import (
    exported_files,
    foreign_files,
    keras_files,
    model_archives,
    mutants,
    saved_models,
)
from tests.hostile.canary import Canary, Place

MODELS = {**keras_files.KINDS, **model_archives.KINDS}
EXPORTED = {
    (name, kind): hostile
    for name, kinds in {
        "onnx": exported_files.ONNX,
        "saved_model": saved_models.KINDS,
        "tflite_float32": exported_files.TFLITE,
    }.items()
    for kind, hostile in kinds.items()
}


@pytest.fixture
def empty_place(tmp_path):
    (tmp_path / "input").mkdir()
    canary = Canary(tmp_path / "canary")
    yield Place(tmp_path / "input", canary)
    canary.close()


@pytest.fixture
def place(empty_place, record_property):
    """Where one hostile file is put beside a canary."""
    record_property("hostile files, each beside a canary", 1)
    return empty_place


def check_refused(read, hostile, place):
    """The file is refused by name in one line of words, and the canary is as it was."""
    path = hostile.make(place)
    place.canary.touched()
    with pytest.raises(PipelineError) as caught:
        read(path)
    assert place.canary.touched() == []
    assert place.canary.folder.stat().st_nlink == 2
    (said,) = str(caught.value).splitlines()
    assert said.startswith(str(place.folder))
    assert re.search(hostile.said, said), said
    return path


def check_is_bait(hostile, path, place):
    """A careless reader does touch the canary, so a refusal means something."""
    hostile.naive(path)
    assert place.canary.touched() != []


def check(read, hostile, place):
    path = check_refused(read, hostile, place)
    if hostile.naive:
        check_is_bait(hostile, path, place)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", MODELS)
def test_a_hostile_model_is_refused_before_keras_sees_it(place, monkeypatch, kind):
    def read(path):
        with monkeypatch.context() as patched:
            patched.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("parsed"))
            if path.name == load.MODEL:
                return load.load_published(path, is_trusted=False)
            return load.load(path)

    check(read, MODELS[kind], place)


@pytest.mark.parametrize(("name", "kind"), EXPORTED)
def test_a_hostile_exported_file_is_refused_before_its_runtime_sees_it(
    place, smoke_run, name, kind
):
    (exported,) = smoke_run.glob("export/*")
    place = replace(place, exported=exported)
    check(lambda path: refuse_external_access(name, path), EXPORTED[name, kind], place)


@pytest.mark.parametrize("kind", foreign_files.YAML)
def test_a_hostile_config_calls_nothing(place, kind):
    check(load_config, foreign_files.YAML[kind], place)


def read_data(source, path):
    options = plugins.load(plugins.SOURCES, source)
    given = {"file": path} if source == "npz" else {"folder": path.parent}
    return options.load(options.Options(**given))


@pytest.mark.parametrize(("source", "kind"), foreign_files.DATA)
def test_hostile_data_is_refused_unopened(place, source, kind):
    if source == "idx":
        for name in ("train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (place.folder / f"{name}-ubyte").write_bytes(b"")
    check(lambda path: read_data(source, path), foreign_files.DATA[source, kind], place)


DOWNLOADS = {
    "data.npz": lambda path: read_data("npz", path),
    "train-images-idx3-ubyte.gz": lambda path: read_data("idx", path),
    "mine.keras": load.load,
    "model.onnx": lambda path: refuse_external_access("onnx", path),
    "model.tflite": lambda path: refuse_external_access("tflite_float32", path),
    "saved_model/1/saved_model.pb": lambda path: refuse_external_access(
        "saved_model", path.parents[1]
    ),
}


@pytest.mark.parametrize("found", foreign_files.INSTEAD)
@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_download_that_is_something_else_is_called_so(tmp_path, record_property, name, found):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.startswith("train"):
        for other in ("train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (tmp_path / f"{other}-ubyte").write_bytes(b"")
    path.write_bytes(foreign_files.INSTEAD[found])
    with pytest.raises(PipelineError, match=found) as caught:
        DOWNLOADS[name](path)
    assert path.parts[len(tmp_path.parts)] in str(caught.value)
    record_property("downloads that are something else", 1)


@pytest.mark.parametrize("kind", foreign_files.CHECKPOINTS)
def test_a_hostile_checkpoint_is_passed_over_aloud(place, kind):
    hostile, said = foreign_files.CHECKPOINTS[kind], []
    path = hostile.make(place)
    assert CheckpointFile(path.parent).read("f", said.append) is None
    assert place.canary.touched() == []
    (line,) = said
    assert line.startswith(f"{path} is damaged and not used (")
    assert re.search(hostile.said, line), line
    if hostile.naive:
        check_is_bait(hostile, path, place)


@pytest.mark.parametrize("kind", foreign_files.GOLDEN)
def test_a_hostile_golden_folder_is_refused_before_a_model_is_asked(place, kind):
    def read(folder):
        return golden_replay.replay(folder, "onnx", folder / "nothing.onnx")

    check(read, foreign_files.GOLDEN[kind], place)


def fingerprints(folder):
    return {p: sha256(p) for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()}


@pytest.mark.parametrize(
    ("name", "kinds", "kind"),
    [
        ("onnx", exported_files.ONNX, "weights behind a hard link"),
        ("saved_model", saved_models.KINDS, "writes a file"),
    ],
)
def test_check_golden_refuses_a_hostile_file_in_one_line(place, smoke_run, name, kinds, kind):
    (golden,) = smoke_run.glob("verify/*/golden")
    before, path = fingerprints(smoke_run), kinds[kind].make(place)
    place.canary.touched()
    ended = call_here("check-golden", golden, "--format", name, "--model", path)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error  {path}: does not run as {name} (it ")
    assert re.search(kinds[kind].said, line)
    assert line.endswith("; name a file that this program exported, and none of unknown origin")
    assert place.canary.touched() == []
    assert fingerprints(smoke_run) == before


def test_a_runtime_that_a_file_brings_down_is_an_answer(empty_place, monkeypatch):
    folder = foreign_files.golden(lambda record, place: None)(empty_place)
    (model := empty_place.folder / "model.onnx").touch()
    monkeypatch.setattr(golden_replay, "ANSWER", "tests.hostile.mutants:dies")
    with pytest.raises(ConfigError, match=r"as onnx \(was killed by SIGABRT.*; name a"):
        golden_replay.replay(folder, "onnx", model)


@pytest.mark.parametrize("count", [250, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(("name", "dtype"), [("tflite_int8", "uint8"), ("onnx", "float32")])
def test_a_file_that_is_damaged_anywhere_is_answered_or_refused(
    smoke_run, tmp_path, record_property, name, dtype, count
):
    (original,) = smoke_run.glob(f"export/*/{formats()[name].path}")
    np.save(tmp_path / "images.npy", np.ones((1, 28, 28, 1), dtype))
    argument = {
        "format_name": name,
        "original": str(original),
        "path": str(tmp_path / original.name),
        "images": str(tmp_path / "images.npy"),
        "answers": str(tmp_path / "answers.npy"),
    }
    found = mutants.outcomes(argument, count, timeout_seconds=count / 5)
    assert len(found) == count
    assert not [what for how, what in found if how == "died" and "took longer" in what]
    counts = Counter(how for how, _ in found)
    assert counts.keys() - {"died"} == {"runtime", "refused", "problem"}
    assert min(counts["runtime"], counts["refused"]) > count / 5
    record_property(f"mutants of {name}", len(found))
