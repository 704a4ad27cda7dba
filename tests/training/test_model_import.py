"""A model from a file in place of training: taken as it is, and made to fit."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from export import contract
from export.conversion import write_formats
from export.formats import ExportRequest, Materials, answers, formats
from pipeline.errors import ConfigError
from tests.training.brought_models import BY_ROWS, CLASSES, NET, SHAPE, dense, images, sequential

L = keras.layers
FORMATS = ("onnx", "tflite_float32", "saved_model")


def residual(policy="float32"):
    """Functional, with a sum that skips layers and a model inside."""
    keras.utils.set_random_seed(2)
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input(SHAPE)
        first = L.Conv2D(4, 3, padding="same")(L.Rescaling(1 / 255)(image))
        block = keras.Sequential([keras.Input((8, 6, 4)), L.Conv2D(4, 3, padding="same"), L.ReLU()])
        joined = L.GlobalAveragePooling2D()(block(first) + first)
        head = keras.Sequential([keras.Input((4,)), L.Dense(3)])
        return keras.Model(image, L.Softmax(dtype="float32")(head(joined)))
    finally:
        keras.config.set_dtype_policy("float32")


def written(model_path, folder, *, is_trusted):
    """What each format answers, from its file on disk."""
    interfaces = {name: formats()[name].interface(SHAPE, len(CLASSES)) for name in FORMATS}
    promised = contract.Contract(
        contract.image_input(SHAPE, "mixed"),
        contract.output(CLASSES),
        {name: contract.of_format(name, interface) for name, interface in interfaces.items()},
        model_key="0" * 16,
        data_key="1" * 16,
        versions={},
    )
    np.save(folder / "calibration.npy", images().images)
    requests = [
        ExportRequest(
            format_name=name,
            materials=Materials(
                model_path,
                folder / "calibration.npy",
                contract.to_json(promised),
                folder,
                is_trusted=is_trusted,
            ),
            folder=folder,
            promised=interfaces[name],
            options=formats()[name].options().model_dump(),
        )
        for name in FORMATS
    ]
    plain = TypeAdapter(list[ExportRequest]).dump_python(requests, mode="json")
    assert [done["failure"] for done in write_formats(plain)] == [""] * len(FORMATS)
    return {request.format_name: answered(request) for request in requests}


def answered(request):
    if request.format_name != "saved_model":
        return answers(request.format_name, request.path, images().images)
    # Its own loader sets threads, which a process that has computed cannot.
    call = tf.saved_model.load(request.path / "1").signatures["serving_default"]
    return call(image=tf.constant(images().images, tf.float32))["probabilities"].numpy()


def assert_files_answer(folder, tmp_path, expected, tolerance=1e-5, *, is_trusted=False):
    given_by_file = written(folder / "model.keras", tmp_path, is_trusted=is_trusted)
    for name, given in given_by_file.items():
        np.testing.assert_allclose(given, expected, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("build", [sequential, residual])
def test_the_files_answer_as_the_model_that_was_brought(bring, tmp_path, build):
    model = build()
    folder, result = bring(model)
    expected = model(images().images.astype(np.float32), training=False)
    assert_files_answer(folder, tmp_path, expected)
    correct = float((np.asarray(expected).argmax(axis=1) == images().labels).mean())
    assert result.metrics["val_accuracy"] == correct
    assert result.summary.startswith(f"took mine.keras: {model.count_params():,} parameters, ")


def test_a_mixed_precision_model_is_taken_as_its_float32_twin(bring, tmp_path):
    twin = residual()
    folder, _ = bring(residual("mixed_float16"))
    assert_files_answer(folder, tmp_path, twin(images().images.astype(np.float32), training=False))


def test_a_subclassed_model_is_taken_with_its_code(bring, tmp_path):
    code = tmp_path / "net.py"
    code.write_text(NET)
    space = {"__name__": "elsewhere"}
    exec(NET, space)
    keras.utils.set_random_seed(3)
    model = space["Net"](filters=5)
    expected = model(images().images.astype(np.float32))
    model.save(tmp_path / "mine.keras")
    keras.saving.get_custom_objects().clear()
    with pytest.raises(ConfigError, match=r"holds shop>Net, which can run any code"):
        bring(tmp_path / "mine.keras")
    shutil.rmtree(tmp_path / "train")
    folder, _ = bring(tmp_path / "mine.keras", trust_model_file=True, model_code=code)
    assert json.loads((folder / "trusted.json").read_text()) == {"code": "model_code.py"}
    # It computed in float16.
    assert_files_answer(folder, tmp_path, expected, tolerance=2e-3, is_trusted=True)


def test_logits_get_a_softmax_if_the_config_says_that_they_are_logits(bring, tmp_path):
    model = sequential(L.Dense(3))
    logits = np.asarray(model(images().images.astype(np.float32)), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    with pytest.raises(ConfigError, match=r"sums of 1. If they are logits, set train.gives=logits"):
        bring(model)
    shutil.rmtree(tmp_path / "train")
    folder, _ = bring(model, gives="logits")
    assert_files_answer(folder, tmp_path, powers / powers.sum(axis=1, keepdims=True))


def test_pixels_are_brought_to_the_range_that_the_model_expects(bring, tmp_path):
    kernel = np.random.default_rng(8).normal(size=(48, 3)).astype(np.float32)
    model = dense([kernel, np.zeros(3, np.float32)])
    folder, _ = bring(model, pixel_range=(-1.0, 1.0))
    expected = model((images().images / 127.5 - 1).astype(np.float32))
    assert_files_answer(folder, tmp_path, expected)


def test_a_range_with_which_it_would_do_better_is_named_but_not_taken(bring):
    scaled = keras.Sequential(
        [keras.Input(SHAPE), L.ReLU(max_value=1.0), dense(BY_ROWS)]  # 0..255 saturates
    )
    _, result = bring(scaled)
    assert result.metrics["val_accuracy"] < 0.5
    assert result.summary.endswith("; with train.pixel_range=[0.0, 1.0] it would be 100.00%")
