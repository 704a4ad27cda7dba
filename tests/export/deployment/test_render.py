from dataclasses import replace

import pytest

from export import runtimes
from export.deployment import render
from pipeline.workflow import code_hash


def rendered(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def with_formats(promised, *names):
    return replace(promised, formats={name: promised.formats[name] for name in names})


def test_every_example_is_rendered_when_every_format_was_written(exported, tmp_path):
    render.render(exported.contract, tmp_path)
    assert {path.split("/")[1] for path in rendered(tmp_path)} >= {"node", "python", "web"}
    assert not [path for path in rendered(tmp_path) if path.endswith(".jinja")]


@pytest.mark.parametrize(
    ("names", "there", "not_there"),
    [
        (["onnx"], "runtimes/python/classify_onnx.py", "runtimes/python/classify_litert.py"),
        (["tflite_int8"], "runtimes/python/classify_litert.py", "runtimes/node/classify.mjs"),
        (["tflite_float16"], "runtimes/web/index.html", "runtimes/microcontroller/classifier.cc"),
    ],
)
def test_an_example_that_could_run_nothing_is_left_out(exported, tmp_path, names, there, not_there):
    render.render(with_formats(exported.contract, *names), tmp_path)
    assert there in rendered(tmp_path)
    assert not_there not in rendered(tmp_path)


def test_a_saved_model_alone_needs_none_of_them(exported, tmp_path):
    render.render(with_formats(exported.contract, "saved_model"), tmp_path)
    assert rendered(tmp_path) == []


def test_names_shapes_and_labels_are_the_models_own(exported, tmp_path):
    render.render(with_formats(exported.contract, "onnx_int8"), tmp_path)
    text = (tmp_path / "runtimes/python/classify_onnx.py").read_text("utf-8")
    assert 'LABELS = ["ein", "zwei", "drei", "fünf"]' in text
    assert 'MODEL = "model_int8.onnx"' in text
    assert "(N, 12, 10, 1)" in text
    picture = (tmp_path / "runtimes/python/picture.py").read_text("utf-8")
    assert "HEIGHT, WIDTH, CHANNELS = 12, 10, 1" in picture


def test_every_file_of_an_example_counts_in_the_key_of_export():
    counted = set(code_hash.resources(runtimes.FOLDER))
    files = {path for path in runtimes.FOLDER.rglob("*") if path.is_file()}
    foreign = {path for path in files if {"node_modules", "__pycache__"} & set(path.parts)}
    assert files - foreign - counted == {runtimes.FOLDER / "__init__.py"}
