"""Files that are not what they are called, and what finds out."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

from export.formats import contract
from export.formats.format import answers, exporter, formats
from export.tflite import complete
from export.tflite.quantization import quantize, ranges
from export.tflite.quantization.recipe import Recipe
from export.verification import audit, gates
from tests.export import float_models
from tests.export.mislabelled import ANSWERS, KINDS, copy_of
from tests.export.mislabelled_tflite import compute_softmax_in_float, converted, edited

NAMES = sorted(formats())


@pytest.fixture
def artifact(exported, tmp_path):
    contract.write(exported.contract, tmp_path)
    return tmp_path


def audited(name, path, **options):
    promised = contract.read(path.parent)
    return audit.audit_file(name, path, promised, formats()[name].options(**options)).checks


def failed(checks):
    return {check.name: check.reason for check in checks if not check.passed}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_what_it_is_called_passes_every_check(exported, name):
    checks = audited(name, exported.path(name))
    assert failed(checks) == {}
    assert len(checks) >= 7


AGAIN = "write it again with --force export"
REPLACE = "replace the layers of the model that become "
REMEDIES = {
    # Where writing again changes nothing, what to replace is named.
    "an operator that only TensorFlow has": f"{REPLACE}FlexCumprod ",
    "an operator that no runtime has": f"{REPLACE}Cumprod ",
    "dropout left on, in ONNX": f"{REPLACE}Dropout dropped by ones that do nothing",
    "shapes computed in a file of fixed shapes": f"{REPLACE}SHAPE ",
    "labels.txt with two labels swapped": AGAIN,
    "no contract": AGAIN,
}


@pytest.mark.parametrize("name", [name for name, k in KINDS.items() if k.check not in ANSWERS])
def test_a_mislabelled_file_is_caught_by_what_it_holds(exported, name, artifact):
    kind = KINDS[name]
    path = artifact / formats()[kind.called].path
    kind.make(exported, path)
    reason = failed(audited(kind.called, path, **kind.options))[kind.check]
    assert kind.finding in reason
    if remedy := REMEDIES.get(name):
        last = reason.rpartition("; ")[2]
        assert last == AGAIN if remedy == AGAIN else last.startswith(remedy)


@pytest.fixture(scope="module")
def balanced(exported):
    """The shared network with a bias for each class, so that none is predicted on average.

    As it is, it has no biases: scaling its pixels changes no prediction.
    """
    images = blocks(exported.contract.input.shape).astype(np.float32)
    logs = np.log(exported.model.predict(images, verbose=0))
    model = keras.models.clone_model(exported.model)
    *weights, _ = exported.model.get_weights()
    model.set_weights([*weights, -logs.mean(axis=0)])
    return replace(exported, model=model)


def blocks(shape):
    """Images that are black or white in six blocks: the small network tells some of them apart."""
    height, width, channels = shape
    corners = np.random.default_rng(1).integers(0, 2, (100, 3, 2, 1))
    return np.kron(255 * corners, np.ones((1, height // 3, width // 2, channels))).astype(np.uint8)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, id=n) for n, k in KINDS.items() if k.check in ANSWERS]
)
def test_a_mislabelled_file_is_caught_by_its_answers(balanced, kind, artifact):
    path = artifact / formats()[kind.called].path
    kind.make(balanced, path)
    assert failed(audited(kind.called, path)) == {}  # no file can tell
    assert kind.finding in failed(by_answers(balanced, kind.called, path))[kind.check]


def test_the_same_network_written_as_it_is_gives_right_answers(balanced, artifact):
    path = artifact / "tflite_float32.tflite"
    converted(lambda model, image: model(image))(balanced, path)
    assert failed(by_answers(balanced, "tflite_float32", path)) == {}


def by_answers(exported, name, path):
    images, gate = blocks(exported.contract.input.shape), formats()[name].gate
    keras_answers = exported.model.predict(images.astype(np.float32), verbose=0)
    predicted = keras_answers.argmax(axis=1)
    assert len(set(predicted)) == 4
    given = answers(name, path, images)
    compared = gates.compare(given, keras_answers, predicted, gate.tie_margin)
    return (*gates.apply_gate(compared, gate), audit.sums(given, None))


def test_there_are_at_least_twelve_kinds_and_every_rule_has_caught_one(exported):
    assert len(KINDS) >= 12
    rules = {check.name for name in NAMES for check in audited(name, exported.path(name))}
    assert {kind.check for kind in KINDS.values()} == {*rules, *ANSWERS, "can be read"}


def test_a_layer_in_float_is_allowed_where_it_is_declared_and_the_reason_names_it(
    exported, artifact
):
    path = artifact / "tflite_int8.tflite"
    edited("tflite_int8", compute_softmax_in_float)(exported, path)
    declare(artifact, {"softmax_float": "float32"})
    checks = {check.name: check for check in audited("tflite_int8", path)}
    assert checks["computation"].passed
    assert "but for softmax_float in float32 as quantization.json" in checks["computation"].reason


@pytest.mark.parametrize("kept", [{"softmax_float": "int16"}, {"another_layer": "float32"}])
def test_a_layer_that_is_not_as_declared_is_caught(exported, artifact, kept):
    path = artifact / "tflite_int8.tflite"
    edited("tflite_int8", compute_softmax_in_float)(exported, path)
    declare(artifact, kept)
    assert "SOFTMAX softmax_float" in failed(audited("tflite_int8", path))["computation"]


def test_a_file_is_not_int8_where_every_kernel_is_declared_to_be_float(exported, artifact):
    path = artifact / "tflite_int8.tflite"
    copy_of("tflite_float32")(exported, path)
    readers = {w.reader for w in exporter("tflite_int8").inspect(path).weights}
    declare(artifact, dict.fromkeys(readers, "float32"))
    reason = failed(audited("tflite_int8", path, io="float32"))["weights"]
    assert reason.startswith("no kernel is int8")


def with_a_layer_in_float(exported, path, kept):
    prepared = quantize.prepare(exported.path("tflite_float32").read_bytes())
    observed = ranges.observe(prepared, exported.images)
    made = quantize.quantize(prepared, observed, Recipe(kept=(kept,)))
    path.write_bytes(complete.complete(made, contract.to_json(exported.contract)))
    declare(path.parent, {kept: "float32"})


def test_most_of_an_int8_file_s_numbers_must_be_int8_whatever_is_declared(exported, artifact):
    path = artifact / "tflite_int8.tflite"
    prepared = quantize.prepare(exported.path("tflite_float32").read_bytes())
    (convolution,) = float_models.names(prepared, "CONV_2D")
    large, _ = float_models.names(prepared, "FULLY_CONNECTED")
    with_a_layer_in_float(exported, path, convolution)
    assert failed(audited("tflite_int8", path)) == {}
    with_a_layer_in_float(exported, path, large)
    reason = failed(audited("tflite_int8", path))["weights"]
    # Kernels of 3 x 3 x 8, 160 x 16 and 16 x 4 numbers, of which the second is in float.
    assert 100 * (72 + 64) // (72 + 2560 + 64) == 5
    assert reason.startswith("of the numbers in kernels 5% are int8")
    assert "50% or more of all numbers in kernels" in reason


def declare(folder, kept):
    record = {"tflite_int8": {"kept": kept}}
    (folder / "quantization.json").write_text(json.dumps(record), "utf-8")


def test_a_reason_names_what_was_found_what_was_expected_and_what_to_do(exported, artifact):
    path = artifact / "tflite_float16.tflite"
    shutil.copy(exported.path("tflite_float32"), path)
    weights = next(check for check in audited("tflite_float16", path) if check.name == "weights")
    assert weights.value == 3
    assert weights.bound == 0
    assert weights.reason.endswith(
        " is float32; expected that each kernel is stored in float16; "
        "write it again with --force export, or leave the format out of export.formats if it comes "
        "out the same"
    )


def test_all_formats_are_audited_in_a_child_and_a_missing_file_costs_itself_alone(
    exported, artifact
):
    names = ("onnx", "tflite_int8", "tflite_float32")
    for name in ("tflite_int8", "tflite_float32"):
        copy_of(name)(exported, artifact / formats()[name].path)
    options = {name: formats()[name].options() for name in names}
    found = audit.audit(artifact, options, timeout_seconds=60)
    assert {name: bool(failed(found[name].checks)) for name in names} == {
        "onnx": True,
        "tflite_int8": False,
        "tflite_float32": False,
    }
    assert "FileNotFoundError" in failed(found["onnx"].checks)["can be read"]
    # 3 x 3 x 8 numbers of the convolution, 160 x 16 and 16 x 4 of the dense layers.
    assert found["tflite_int8"].content.weights["int8"] >= 72 + 160 * 16 + 16 * 4
    assert found["tflite_float32"].content.operators.keys() == {"float32"}
    assert found["onnx"].content is None


def test_no_format_passes_where_the_child_dies(artifact):
    (artifact / "contract.json").write_text("{}")
    options = {name: formats()[name].options() for name in ("onnx", "tflite_int8")}
    found = audit.audit(artifact, options, timeout_seconds=60)
    assert [list(failed(found[name].checks)) for name in options] == 2 * [["can be read"]]


# Two classes in steps of 1/256: each may be off by one, as 1 itself is, stored as 255/256.
@pytest.mark.parametrize(
    ("answer", "step", "passed"),
    [
        ([0.25, 0.75], None, True),
        ([0.25, 0.76], None, False),
        ([-0.25, 1.25], None, False),
        ([0.25, 0.7539], 1 / 256, True),
        ([0.25, 0.76], 1 / 256, False),
    ],
)
def test_probabilities_are_known_by_their_sum(answer, step, passed):
    given = np.array([[0.5, 0.5], answer], np.float32)
    assert audit.sums(given, step).passed is passed
