from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from export.convert import convert, write_formats
from export.formats.format import ExportRequest, Materials, formats
from pipeline.core.plugins import ROOT

TFLITE = ("tflite_float32", "tflite_float16", "tflite_int8")


@pytest.fixture(scope="module", autouse=True)
def _children_are_importable():
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT / "tests"))
        yield


def requests(folder, names):
    return [
        ExportRequest(
            format_name=name,
            materials=Materials(folder / "model.keras", folder / "images.npy", "{}", folder),
            folder=folder,
            promised=formats()[name].interface((4, 4, 1), 2),
        )
        for name in names
    ]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """What a conversion came to whose process was killed on the second of three formats."""
    folder, settled = tmp_path_factory.mktemp("crashed"), []
    function = "children:loses_float16"
    done = convert(requests(folder, TFLITE), 60, settled.append, function=function)
    return SimpleNamespace(folder=folder, done=done, settled=settled)


def test_a_converter_killed_on_one_format_costs_that_format_alone(crashed):
    assert crashed.done["tflite_float16"].failure == "the converter was killed by SIGKILL"
    assert [crashed.done[name].failure for name in ("tflite_float32", "tflite_int8")] == ["", ""]
    assert crashed.settled == list(TFLITE)


def test_half_a_file_is_not_left_behind(crashed):
    assert sorted(path.name for path in crashed.folder.iterdir()) == [
        "tflite_float32.tflite",
        "tflite_int8.tflite",
    ]


def test_a_format_that_was_done_before_the_crash_is_not_written_again(crashed):
    assert (crashed.folder / "tflite_float32.tflite").read_text() == "written\n"


def test_a_converter_that_hangs_costs_that_format_alone(tmp_path):
    done = convert(requests(tmp_path, TFLITE), 5, function="children:hangs_at_float16")
    assert done["tflite_float16"].failure == "the converter took longer than 5 s"
    assert [done[name].failure for name in ("tflite_float32", "tflite_int8")] == ["", ""]


def test_a_format_fails_with_the_one_that_it_is_made_from(tmp_path):
    names = ("saved_model", "onnx", "onnx_int8")
    done = convert(requests(tmp_path, names), 60, function="children:fails_at_onnx")
    assert done["saved_model"].failure == ""
    assert done["onnx_int8"].failure == "it is made from onnx, which failed: no such operator"


MADE_FROM = "it is made from tflite_float32, which failed: the converter "


def test_a_format_fails_with_one_that_its_own_process_died_of(tmp_path):
    names = ("tflite_float32", "tflite_float16", "tflite_dynamic", "tflite_int8")
    done = convert(requests(tmp_path, names), 60, function="children:loses_float32")
    assert {name: found.failure for name, found in done.items()} == {
        "tflite_float32": "the converter was killed by SIGKILL",
        "tflite_float16": "",
        "tflite_dynamic": f"{MADE_FROM}was killed by SIGKILL",
        "tflite_int8": f"{MADE_FROM}was killed by SIGKILL",
    }


def test_a_format_fails_with_one_that_its_own_process_could_not_write(tmp_path):
    names = ("tflite_float32", "tflite_dynamic")  # of a model that is not there
    first, second = write_formats([plain(request) for request in requests(tmp_path, names)])
    assert first["failure"].startswith("the converter raised ")
    assert second["failure"] == f"it is made from tflite_float32, which failed: {first['failure']}"


def plain(request):
    return TypeAdapter(ExportRequest).dump_python(request, mode="json")


def test_a_file_that_breaks_its_promise_fails(exported, tmp_path):
    wrong = formats()["onnx"].interface((28, 28, 3), 4)
    request = replace(exported.request("onnx", folder=tmp_path), promised=wrong)
    (answer,) = write_formats([plain(request)])
    assert answer["failure"].endswith(
        "its input has shape ('N', 12, 10, 1), expected shape ('N', 28, 28, 3)"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_read_is_named(exported, tmp_path):
    broken = tmp_path / "model.keras"
    broken.write_bytes(b"no archive")
    materials = replace(exported.materials, model=broken)
    request = replace(exported.request("onnx", folder=tmp_path), materials=materials)
    (answer,) = write_formats([plain(request)])
    assert answer["failure"].startswith("the converter raised ")
    assert "model.keras" in answer["failure"]
