"""Keys: they change with all that decides an artifact's content, and with nothing else."""

import ast
import json
import modulefinder
import re
import shutil
import sys
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import DataError
from pipeline.core.plugins import ROOT
from pipeline.workflow import code_hash as code_versions
from pipeline.workflow import graph
from pipeline.workflow.code_hash import NOT_COUNTED, code_version
from pipeline.workflow.keys import changes, ingredients, key_of, outside_version

MNIST = ROOT / "configs" / "mnist.yaml"
STAGES = {stage.name: stage for stage in graph.STAGES}
CODE = {
    "pipeline/config/schema.py": "DEFAULT = 1\n",
    "pipeline/core/progress.py": "WIDTH = 1\n",
    "pipeline/store/store.py": "import pipeline.core.durable\n",
    "pipeline/core/durable.py": "SYNCS = True\n",
    "pipeline/stages/train/__init__.py": "'''Trains.'''\n"
    "from pipeline.config import schema\n"
    "from pipeline.core import progress\n"
    "from pipeline.store import store\n"
    "from pipeline.data import batches\n\n"
    "def run(context):\n"
    "    '''Runs.'''\n"
    "    from pipeline.training.rates import rate\n"
    "    return batches.take(rate + 1)\n",
    "pipeline/data/__init__.py": "",
    "pipeline/data/batches.py": "import os\nimport pipeline.data.tfrecords\n\ntake = print\n",
    "pipeline/data/tfrecords.py": "SIZE = 4\n",
    "pipeline/data/cleaning.py": "SIZE = 4\n",
    "pipeline/training/rates.py": "rate = 5\nCHILD = 'pipeline.training.child:main'\n",
    "pipeline/training/child.py": "def main(task):\n    return task\n",
    "pipeline/training/page.jinja": "<p>\n",
    "pipeline/training/examples/page.js": "1\n",
    "pipeline/training/examples/node_modules/page.js": "1\n",
    "pipeline/training/notes.md": "notes\n",
    "pipeline/models/small.py": "filters = 2\n",
    "pipeline/models/other.py": "filters = 3\n",
}
ANEW = ("_counts", "_modules", "_read", "_beside", "_reached")
CACHES = ("_parsed", *ANEW)


@pytest.fixture
def version(tmp_path, monkeypatch):
    """Gives the version of a small project's train stage, after some files changed."""
    monkeypatch.setattr(code_versions, "ROOT", tmp_path)
    monkeypatch.setattr(code_versions, "KEPT", tmp_path / "kept" / "syntax.json")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name, text in CODE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def version_after(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
        for name in CACHES:
            getattr(code_versions, name).cache_clear()
        return code_version(("pipeline.stages.train", "pipeline.models.small"))

    yield version_after
    for name in CACHES:
        getattr(code_versions, name).cache_clear()


def key(stage, *overrides, inputs=None):
    config = load_config(MNIST, overrides)
    named = dict.fromkeys(STAGES[stage].inputs, "0123456789abcdef") if inputs is None else inputs
    return key_of(ingredients(config, STAGES[stage], named))


@pytest.mark.parametrize("stage", [s for s in STAGES if s in ("ingest", "build", "train")])
def test_the_same_config_gives_the_same_key_of_16_hex_digits(stage):
    assert key(stage) == key(stage)
    assert re.fullmatch("[0-9a-f]{16}", key(stage))


def test_a_key_is_the_hash_of_sorted_compact_json():
    # printf '{"a":"\\u00e9","b":[1,2.5]}' | sha256sum
    assert key_of({"b": [1, 2.5], "a": "é"}) == "1d5aa48ef9cd2b6b"


def test_export_counts_the_gates_that_it_quantises_for_and_not_how_verify_measures():
    gate = "verify.gates={tflite_int8: {max_accuracy_drop_points: 2}}"
    assert key("export", gate) != key("export")
    assert key("export", "verify.threads=2") == key("export")


def test_a_key_changes_with_a_value_that_the_stage_reads():
    assert key("train", "train.epochs=5") != key("train")
    assert key("ingest", "data.train_limit=5") != key("ingest")


def test_a_key_does_not_change_with_a_value_that_the_stage_does_not_read():
    assert key("build", "train.epochs=5", "verify.threads=2") == key("build")
    assert key("ingest", "model.filters=3") == key("ingest")


@pytest.mark.parametrize("stage", ["ingest", "tune", "build", "train"])
def test_a_key_changes_with_the_seed(stage):
    assert key(stage, "seed=1") != key(stage)


def test_a_key_changes_with_the_key_of_an_input():
    inputs = dict.fromkeys(STAGES["train"].inputs, "a")
    assert key("train", inputs={**inputs, "build": "b"}) != key("train", inputs=inputs)
    assert key("train", inputs={"ingest": "a", "build": "a"}) != key("train", inputs=inputs)


def test_the_name_of_the_config_decides_nothing(tmp_path):
    copy = tmp_path / "copy.yaml"
    copy.write_text(MNIST.read_text())
    values = ingredients(load_config(copy), STAGES["ingest"], {})
    assert key_of(values) == key("ingest")


def test_a_default_that_is_written_out_changes_no_key():
    assert key("train", "train.momentum=0.9") == key("train")


@pytest.mark.parametrize(
    "name",
    [
        "pipeline/config/schema.py",
        "pipeline/stages/train/__init__.py",
        "pipeline/data/batches.py",
        "pipeline/data/tfrecords.py",
        "pipeline/data/__init__.py",
        "pipeline/training/rates.py",
        "pipeline/training/child.py",
        "pipeline/training/page.jinja",
        "pipeline/training/examples/page.js",
        "pipeline/models/small.py",
    ],
)
def test_code_and_templates_that_the_stage_reaches_count(version, name):
    before = version()
    assert version(**{name: CODE[name] + "\nextra = 1\n"}) != before


@pytest.mark.parametrize(
    "name",
    [
        "pipeline/core/progress.py",
        "pipeline/store/store.py",
        "pipeline/core/durable.py",
        "pipeline/data/cleaning.py",
        "pipeline/training/notes.md",
        "pipeline/training/examples/node_modules/page.js",
        "pipeline/models/other.py",
    ],
)
def test_what_is_listed_and_code_that_the_stage_does_not_reach_do_not_count(version, name):
    before = version()
    assert version(**{name: CODE[name] + "\nextra = 1\n"}) == before


def test_a_file_is_parsed_once_whoever_asks_for_its_bytes(version, monkeypatch):
    before = version()
    with monkeypatch.context() as patch:
        patch.delattr(code_versions.ast, "parse")
        assert version() == before
        with pytest.raises(AttributeError):
            version(**{"pipeline/training/rates.py": "rate = 6\n"})


@pytest.mark.parametrize("content", ["", "[1]", "{", "\0"])
def test_what_was_kept_and_cannot_be_read_is_made_anew(version, content):
    before = version()
    code_versions.KEPT.write_text(content)
    assert version() == before
    assert json.loads(code_versions.KEPT.read_text())


def test_where_nothing_can_be_kept_files_are_parsed_each_time(version, tmp_path):
    (tmp_path / "kept").write_text("is no folder")
    assert version() == version()


COMPILED = cache(compile)  # most stages reach the same modules


@cache
def reached(stage, passing_over=()):
    """The project's modules that a stage reaches, by their files, as the standard library sees."""
    config = load_config(MNIST, ["export.formats=[saved_model, tflite_int8, onnx_int8]"])
    names = (f"pipeline.stages.{stage}", *STAGES[stage].plug_ins(config))
    # Nothing but the project.
    finder = modulefinder.ModuleFinder(path=[str(ROOT)], excludes=list(passing_over))
    with patch.object(modulefinder, "compile", COMPILED, create=True):
        for name in names:
            finder.import_hook(name, None, ["*"])
    files = (Path(module.__file__) for module in finder.modules.values() if module.__file__)
    return names, sorted(file.relative_to(ROOT) for file in files)


@cache
def with_another_function(text):
    """The source with a statement more in its first function, or one more of its own."""
    tree = ast.parse(text)
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    owner = next(functions, tree)
    owner.body.append(ast.parse("changed = 1").body[0])
    return ast.unparse(tree)


@pytest.fixture
def copied_project(tmp_path, monkeypatch):
    """The project's code, to be changed; a module is read anew only where a test changes it.

    What files gave that were parsed stays, by the hash of their bytes.
    """
    for package in code_versions.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=without_bulk)
    monkeypatch.setattr(code_versions, "ROOT", tmp_path)
    monkeypatch.setattr(code_versions, "KEPT", tmp_path / "kept" / "syntax.json")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name in ANEW:
        getattr(code_versions, name).cache_clear()
    yield tmp_path
    for name in ANEW:
        getattr(code_versions, name).cache_clear()


@pytest.mark.parametrize("stage", STAGES)
def test_each_module_that_a_stage_reaches_counts_or_is_on_the_list(
    stage, copied_project, monkeypatch
):
    names, files = reached(stage, tuple(NOT_COUNTED))
    before, read, silent = code_version(names), code_versions._read, set()
    for file in files:
        changed = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        text = (copied_project / file).read_text("utf-8")
        (copied_project / file).write_text(with_another_function(text), "utf-8")
        anew = {changed: read.__wrapped__(changed)}
        with monkeypatch.context() as patch:
            patch.setattr(
                code_versions, "_read", lambda name, anew=anew: anew.get(name) or read(name)
            )
            if code_version(names) == before:
                silent.add(changed)
        (copied_project / file).write_text(text, "utf-8")
    assert len(files) > 50
    assert {name for name in silent if not listed(name)} == set()


def listed(name):
    return any(name == entry or name.startswith(f"{entry}.") for entry in NOT_COUNTED)


def without_bulk(folder, names):
    return [name for name in names if name in ("__pycache__", "datasets", "node_modules")]


def test_each_entry_of_the_list_is_reached_by_a_stage_and_says_why():
    modules = set()
    for stage in STAGES:
        modules |= {".".join(f.with_suffix("").parts) for f in reached(stage)[1]}
    for entry, why in NOT_COUNTED.items():
        assert any(f"{module}.".startswith(f"{entry}.") for module in modules), entry
        assert why


def test_comments_docstrings_and_formatting_do_not_count(version):
    before = version()
    rewritten = (
        CODE["pipeline/stages/train/__init__.py"]
        .replace("Trains.", "Trains\n\nthe network.")
        .replace("    '''Runs.'''\n", "    # Why.\n")
        .replace("batches.take(rate + 1)", "(\n        batches.take(rate+1)\n    )  # and so on")
    )
    assert version(**{"pipeline/stages/train/__init__.py": rewritten}) == before


def test_the_text_of_a_string_that_is_no_docstring_counts(version):
    module = "pipeline/models/small.py"
    before = version(**{module: "name = 'a'\n"})
    assert version(**{module: "name = 'b'\n"}) != before


def test_the_preset_and_the_source_of_the_config_count_and_others_do_not():
    config = load_config(MNIST)
    assert STAGES["train"].plug_ins(config) == ("pipeline.models.compact_cnn",)
    assert STAGES["ingest"].plug_ins(config) == ("pipeline.data.sources.idx",)


def test_each_preset_of_a_search_counts():
    space = "tune.space={model.preset: {choice: [two_conv, compact_cnn]}}"
    names = ("pipeline.models.compact_cnn", "pipeline.models.two_conv")
    assert STAGES["tune"].plug_ins(load_config(MNIST, [space])) == names
    idle = load_config(MNIST, [space, "tune.enabled=false"])
    assert STAGES["tune"].plug_ins(idle) == names[:1]


def test_the_exporters_of_the_formats_count_and_others_do_not():
    config = load_config(MNIST, ["export.formats=[onnx, onnx_int8]"])
    assert STAGES["export"].plug_ins(config) == ("export.onnx.exporter",)


@pytest.mark.parametrize("stage", ["export", "verify"])
def test_the_libraries_of_the_exporters_in_use_count_and_of_others_do_not(stage):
    config = load_config(MNIST, ["export.formats=[onnx_int8]"])
    named = ingredients(config, STAGES[stage], {"train": "0" * 16})["libraries"]
    assert {"tensorflow", "tf2onnx", "onnx", "onnxruntime"} <= named.keys()
    assert not {"ai-edge-litert", "litert-quantizer", "tflite-micro"} & named.keys()


@pytest.fixture
def idx_folder(tmp_path):
    def folder(name):
        path = tmp_path / name
        path.mkdir()
        for kind in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3"):
            (path / f"{kind}-ubyte").write_bytes(kind.encode())
        (path / "t10k-labels-idx1-ubyte").write_bytes(b"labels")
        return path

    return folder


def test_the_place_of_outside_files_does_not_count_but_their_bytes_do(idx_folder):
    first, second = idx_folder("first"), idx_folder("second")
    assert key("ingest", f"data.folder={first}") == key("ingest", f"data.folder={second}")
    before = key("ingest", f"data.folder={second}")
    (second / "t10k-labels-idx1-ubyte").write_bytes(b"LABELS")
    assert key("ingest", f"data.folder={second}") != before


def test_how_often_checkpoints_are_saved_does_not_count_but_determinism_does():
    assert key("train", "train.checkpoint_every_steps=5") == key("train")
    assert key("train", "train.deterministic=true") != key("train")


def test_the_place_of_an_optional_folder_does_not_count_either(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tfds = ("data.source=tfds", "data.dataset=mnist")
    keys = {key("ingest", *tfds, f"data.manual_dir={tmp_path / name}") for name in "ab"}
    keys |= {key("ingest", *tfds, f"data.data_dir={tmp_path / name}") for name in "ab"}
    assert len(keys) == 1


def test_an_outside_file_that_cannot_be_read_is_an_error_with_its_path(idx_folder, monkeypatch):
    folder = idx_folder("images")
    options = load_config(MNIST, [f"data.folder={folder}"]).data
    monkeypatch.setattr(type(options), "outside_files", lambda self: {"folder": folder})
    with pytest.raises(DataError, match=f"{folder}: cannot be read \\(Is a directory\\)"):
        outside_version(options.outside_files())


def test_ingredients_survive_a_manifest():
    values = ingredients(load_config(MNIST), STAGES["train"], {"ingest": "a"})
    assert changes(json.loads(json.dumps(values)), values) == []


def test_changes_are_said_in_words():
    old = {
        "seed": 0,
        "config": {"train": {"epochs": 5, "ema_momentum": None, "gone": 1}, "tune": {"space": {}}},
        "inputs": {"ingest": "a", "tune": "b"},
        "code": "x",
        "outside": "y",
    }
    new = {
        "seed": 3,
        "config": {"train": {"epochs": 10, "ema_momentum": 0.5}, "tune": {"space": {}}},
        "inputs": {"ingest": "c"},
        "code": "z",
        "outside": "w",
    }
    assert changes(old, new) == [
        "seed 0 → 3",
        "train.epochs 5 → 10",
        "train.ema_momentum unset → 0.5",
        "train.gone 1 → unset",
        "ingest is new",
        "tune is gone",
        "the code that it uses changed",
        "the files that it reads changed",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (1 / 12, 0.15, "0.0833 → 0.15"),
        (0.12345, 0.12346, "0.12345 → 0.12346"),
        (1 / 3, None, "0.333 → unset"),
        ([1] * 40, None, f"[{'1, ' * 19}1,… → unset"),
    ],
)
def test_values_are_said_with_as_many_digits_as_tell_them_apart_and_lists_cut(before, after, words):
    assert changes({"config": {"x": before}}, {"config": {"x": after}}) == [f"x {words}"]
