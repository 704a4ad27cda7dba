"""Files that try to reach a canary are refused, and the canary stays untouched."""

import re
from dataclasses import replace

import keras
import pytest

from export.formats import refuse_reaching
from export.model_files import model_file
from pipeline.errors import PipelineError
from tests.hostile import exported_files, keras_files, model_archives
from tests.hostile.canary import Canary, Place

MODELS = {**keras_files.KINDS, **model_archives.KINDS}
EXPORTED = {
    (name, kind): hostile
    for name, kinds in {
        "onnx": exported_files.ONNX,
        "saved_model": exported_files.SAVED_MODEL,
        "tflite_float32": exported_files.TFLITE,
    }.items()
    for kind, hostile in kinds.items()
}


@pytest.fixture
def place(tmp_path):
    (tmp_path / "input").mkdir()
    canary = Canary(tmp_path / "canary")
    yield Place(tmp_path / "input", canary)
    canary.close()


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
            if path.name == model_file.MODEL:
                return model_file.load_published(path, is_trusted=False)
            return model_file.load(path)

    check(read, MODELS[kind], place)


@pytest.mark.parametrize(("name", "kind"), EXPORTED)
def test_a_hostile_exported_file_is_refused_before_its_runtime_sees_it(
    place, smoke_run, name, kind
):
    (exported,) = smoke_run.glob("export/*")
    place = replace(place, exported=exported)
    check(lambda path: refuse_reaching(name, path), EXPORTED[name, kind], place)
