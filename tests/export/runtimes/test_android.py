"""No Android is at hand: these look at the text that is written, and nothing is compiled."""

import re
from dataclasses import replace

import pytest

from export.deployment import render
from export.formats import contract
from pipeline.data.dataset_json import Preparation
from pipeline.data.images import ink


def rendered(promised, folder):
    render.render(promised, folder)
    return folder / "runtimes" / "android"


@pytest.fixture(scope="module")
def android(exported, tmp_path_factory):
    return rendered(exported.contract, tmp_path_factory.mktemp("android"))


def test_each_model_is_listed_with_how_it_stores_numbers(android):
    text = (android / "Classifier.kt").read_text("utf-8")
    floats = "Stored(Type.FLOAT32), Stored(Type.FLOAT32)"
    for name in ("tflite_float32", "tflite_float16", "tflite_dynamic"):
        assert f'    {name.upper()}("{name}.tflite", {floats}),\n' in text
    quantised = "Stored(Type.UINT8, 1.0f, 0), Stored(Type.UINT8, 0.00390625f, 0)"
    assert f'    TFLITE_INT8("tflite_int8.tflite", {quantised}),\n' in text


def test_a_format_that_was_not_written_is_not_offered(exported, tmp_path):
    kept = {name: exported.contract.formats[name] for name in ("onnx", "tflite_int8")}
    android = rendered(replace(exported.contract, formats=kept), tmp_path)
    text = (android / "Classifier.kt").read_text("utf-8")
    assert re.findall(r'^    ([A-Z_0-9]+)\("', text, re.MULTILINE) == ["TFLITE_INT8"]
    assert "Model.TFLITE_INT8" in (android / "README.md").read_text("utf-8")


def test_shape_and_labels_are_the_models(android):
    text = (android / "Classifier.kt").read_text("utf-8")
    sizes = dict(re.findall(r"const val ([A-Z]+) = (\d+)", text))
    assert sizes == {"HEIGHT": "12", "WIDTH": "10", "CHANNELS": "1"}
    listed = text.partition("val LABELS = listOf(")[2].partition(")")[0]
    assert re.findall('"(.*)"', listed) == ["ein", "zwei", "drei", "fünf"]


def test_a_label_is_no_kotlin_template(exported, tmp_path):
    odd = contract.output(["$price", 'say "no"', "a\\b"])
    android = rendered(replace(exported.contract, output=odd), tmp_path)
    text = (android / "Classifier.kt").read_text("utf-8")
    assert r'"\$price",' in text
    assert r'"say \"no\"",' in text
    assert r'"a\\b"' in text


def test_the_golden_test_finds_a_format_by_its_file(exported, android):
    text = (android / "GoldenTest.kt").read_text("utf-8")
    assert 'getJSONObject(model.file.removeSuffix(".tflite"))' in text
    for name, promised in exported.contract.formats.items():
        if name.startswith("tflite"):
            assert promised.file.removesuffix(".tflite") == name


def test_the_readme_says_that_it_was_not_run(android):
    assert "**Not run here:**" in (android / "README.md").read_text("utf-8")


def test_ink_is_sought_by_the_same_numbers_as_in_python(exported, tmp_path):
    wanted = replace(exported.contract.input, preparation=Preparation(8, "mass", (12, 10)))
    android = rendered(replace(exported.contract, input=wanted), tmp_path)
    text = (android / "Ink.kt").read_text("utf-8")
    constants = dict(re.findall(r"const val ([A-Z]+) = (\d+)", text))
    names = ("WORK", "LEAST", "SPARSE", "EDGE", "LOW", "HIGH", "FAINT")
    assert constants == {name: str(getattr(ink, name)) for name in names}
    layout = (android / "Classifier.kt").read_text("utf-8").partition("val INK = Layout(")[2]
    known = dict(re.findall(r"(\w+) = ([\w.]+)", layout.partition("        )")[0]))
    expected = {"box": "8", "centre": "Centre.MASS", "middleY": "12", "middleX": "10"}
    assert known == expected | {"isLight": str(wanted.background == "dark").lower()}


def test_where_nothing_is_ink_none_is_sought(android):
    assert not (android / "Ink.kt").exists()
    for file in ("Classifier.kt", "README.md"):
        assert "ink" not in (android / file).read_text("utf-8").lower()
