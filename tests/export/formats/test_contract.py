import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from export.formats import contract
from export.formats.contract import Contract
from export.formats.format import formats
from export.formats.tensors import TensorType, contradiction
from pipeline.core.errors import DataError

LABELS = ("zero", "eins", "zwölf")
PROMISED = formats()["tflite_int8"].interface((28, 28, 1), 10)


def a_contract():
    return Contract(
        input=contract.image_input((28, 28, 1), "dark"),
        output=contract.output(LABELS),
        formats={"tflite_int8": contract.of_format("tflite_int8", PROMISED)},
        model_key="b" * 16,
        data_key="a" * 16,
        versions={"keras": "3.15.1", "tf2onnx": None},
    )


def test_a_contract_is_read_as_it_was_written(tmp_path):
    contract.write(a_contract(), tmp_path)
    assert contract.read(tmp_path) == a_contract()


def test_the_file_says_what_a_program_in_any_language_needs(tmp_path):
    contract.write(a_contract(), tmp_path)
    plain = json.loads((tmp_path / "contract.json").read_text())
    assert plain["input"] == {
        "shape": [28, 28, 1],
        "colour": "grey",
        "background": "dark",
        "name": "image",
        "value_range": [0, 255],
        "layout": "NHWC",
        "resize": {"method": "bilinear", "antialias": True, "fit": "pad"},
        "alpha": "contrast",
    }
    assert plain["formats"]["tflite_int8"] == {
        "file": "tflite_int8.tflite",
        "batch": 1,
        "input": {"dtype": "uint8", "scale": 1.0, "zero_point": 0},
        "output": {"dtype": "uint8", "scale": 1 / 256, "zero_point": 0},
    }
    assert plain["versions"] == {"keras": "3.15.1", "tf2onnx": None}


def test_it_says_which_release_runs_a_format_and_the_files_carry_it_without():
    known = contract.running_from(a_contract(), {"tflite_int8": "TFLite 2.4.0"})
    assert known.formats["tflite_int8"].runs_from == "TFLite 2.4.0"
    assert contract.from_json(contract.to_json(known)) == known
    assert contract.as_carried(known) == a_contract()


def test_labels_are_held_to_the_hash_of_their_file(tmp_path):
    contract.write(a_contract(), tmp_path)
    stored = (tmp_path / "labels.txt").read_bytes()
    assert stored.decode("utf-8").splitlines() == list(LABELS)
    assert a_contract().output.labels_sha256 == hashlib.sha256(stored).hexdigest()


def test_another_json_file_is_no_contract(tmp_path):
    (tmp_path / "contract.json").write_text("{}")
    with pytest.raises(DataError, match=r"contract.json: is no contract .* run --force export\.$"):
        contract.read(tmp_path)


def test_a_file_that_keeps_its_promise_contradicts_nothing():
    assert contradiction(PROMISED, PROMISED) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": TensorType("float32")}, "its input has dtype float32, expected dtype uint8"),
        ({"type": TensorType("uint8", 0.99, 0)}, "its input has scale 0.99, expected scale 1.0"),
        (
            {"type": TensorType("uint8", 1.0, 3)},
            "its input has zero point 3, expected zero point 0",
        ),
        ({"name": "x"}, "its input has name x, expected name image"),
        (
            {"shape": ("N", 28, 28, 1)},
            "its input has shape ('N', 28, 28, 1), expected shape (1, 28, 28, 1)",
        ),
    ],
)
def test_each_broken_promise_is_named(change, message):
    found = replace(PROMISED, input=replace(PROMISED.input, **change))
    assert contradiction(found, PROMISED) == message


def test_a_contract_of_another_schema_is_refused():
    text = contract.to_json(a_contract())
    assert contract.from_json(text).schema == 3
    with pytest.raises(ValidationError, match="schema"):
        contract.from_json(text.replace('"schema":3', '"schema":1'))


def test_a_contract_of_before_layouts_and_releases_is_read():
    plain = json.loads(contract.to_json(a_contract())) | {"schema": 2}
    (entry,) = plain["formats"].values()
    assert not {"runs_from", "layout"} & {*entry, *entry["input"], *entry["output"]}
    read = contract.from_json(json.dumps(plain))
    assert read == replace(a_contract(), schema=2)


def test_a_channels_first_image_is_stored_channel_by_channel():
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    stored = TensorType(layout="NCHW").encode(image)
    np.testing.assert_array_equal(stored[0, 1], [[1, 4], [7, 10]])
    assert (stored.dtype, stored.flags.c_contiguous) == (np.float32, True)
    assert TensorType(layout="NCHW").arranged((2, 5, 3)) == (3, 2, 5)
