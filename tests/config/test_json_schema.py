"""The schema that editors complete configs by: of the models, and as strict as they are."""

import json

import jsonschema
import pytest

from pipeline.config.json_schema import json_schema
from pipeline.config.loading import load_config
from pipeline.config.strict_yaml import parse_yaml
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from tests.command_line import call_here

CONFIGS = ROOT / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
COMMITTED = CONFIGS / "schema.json"
MNIST = (CONFIGS / "mnist.yaml").read_text(encoding="utf-8")

WHOLE = {
    "no data": (MNIST, "data:\n  source: idx\n", ""),
    "no source": (MNIST, "source: idx", "train_limit: 5"),
    "no preset": (MNIST, "preset: compact_cnn", "dropout: 0.1"),
    "no model": (MNIST, "model:\n  preset: compact_cnn\n", ""),
}
PLANTED = {
    "unknown section": "trian: {epochs: 3}",
    "unknown key": "train: {epoch: 3}",
    "unknown key within a technique": "train: {pruning: {sparsity: 0.5, share: 1}}",
    "unknown key of a format": "export: {tflite_int8: {dtype: uint8}}",
    "the program names it": "name: mine",
    "text for a number": "train: {epochs: many}",
    "a fraction for a whole number": "train: {epochs: 2.5}",
    "below its bound": "train: {batch_size: 0}",
    "at a bound that is out": "train: {learning_rate: 0}",
    "above its bound": "augmentation: {rotation_degrees: 181}",
    "unknown choice": "train: {optimizer: adamm}",
    "a number for a choice": "tune: {enabled: 1}",
    "text for a section": "augmentation: none",
    "unknown source": "data: {source: idxx}",
    "unknown preset": "model: {preset: compact}",
    "an option of another source": "data: {source: idx, image_size: [64, 64]}",
    "an option of another preset": "model: {preset: lenet5, head: dense}",
    "unknown format": "export: {formats: [tflight]}",
    "a gate of no format": "verify: {gates: {tflight: {tie_margin: 0.1}}}",
    "a dimension of no kind": "tune: {space: {train.learning_rate: {between: [1, 2]}}}",
    "too few ends": "augmentation: {erasing_area: [0.1]}",
    "a file to extend that is no text": "extends: 3",
}


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_that_of_the_models():
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json_schema()


def test_the_command_prints_the_committed_file():
    assert call_here("schema").stdout == COMMITTED.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_shipped_config_names_the_schema_first_and_keeps_to_it(validator, path):
    text = path.read_text(encoding="utf-8")
    said, _, place = text.splitlines()[0].partition("$schema=")
    assert said == "# yaml-language-server: "
    assert (path.parent / place).resolve() == COMMITTED
    assert list(validator.iter_errors(parse_yaml(text, str(path)))) == []


@pytest.mark.parametrize("name", [*PLANTED, *WHOLE])
def test_what_the_program_refuses_the_schema_marks(validator, tmp_path, name):
    if name in WHOLE:
        text, was, now = WHOLE[name]
        assert was in text
        text = text.replace(was, now)
    else:
        start = "" if "extends:" in PLANTED[name] else f"extends: {CONFIGS / 'mnist.yaml'}\n"
        text = f"{start}{PLANTED[name]}\n"
    path = tmp_path / "planted.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load_config(path)
    assert list(validator.iter_errors(parse_yaml(text, "planted")))


def test_keys_carry_what_their_docstrings_say():
    schema = json_schema()
    limit = schema["properties"]["data"]["properties"]["train_limit"]
    assert limit["description"].startswith("takes this many training images at most")
    train = schema["$defs"]["TrainSection"]["properties"]
    undescribed = {name for name, part in train.items() if not {"description", "$ref"} & {*part}}
    assert undescribed == set()


def test_no_place_on_this_machine_stands_in_the_schema():
    assert str(ROOT) not in json.dumps(json_schema())
