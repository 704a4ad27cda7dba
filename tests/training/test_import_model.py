"""A model from a file in place of training: taken as it is, and made to fit."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import TypeAdapter

from export.convert import write_formats
from export.formats import contract
from export.formats.format import ExportRequest, Materials, answers, formats
from export.keras_files import load
from pipeline.core.errors import ConfigError
from pipeline.stages.train import import_model
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


def written(model_path, folder, *, is_trusted, classes=CLASSES):
    """What each format answers, from its file on disk."""
    interfaces = {name: formats()[name].interface(SHAPE, len(classes)) for name in FORMATS}
    promised = contract.Contract(
        contract.image_input(SHAPE, "mixed"),
        contract.output(classes),
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


def assert_answers(folder, expected, tolerance=1e-5):
    """Of what is published, which other tests have in the formats' files too."""
    model = load.load_published(folder / load.MODEL, is_trusted=False)
    given = model(images().images.astype(np.float32), training=False)
    np.testing.assert_allclose(given, expected, atol=tolerance)


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
    assert f"mine.keras: {model.count_params():,} parameters, " in result.summary


def test_a_mixed_precision_model_is_taken_as_its_float32_twin(bring):
    twin = residual()
    folder, _ = bring(residual("mixed_float16"))
    assert_answers(folder, twin(images().images.astype(np.float32), training=False))


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
    assert_answers(folder, powers / powers.sum(axis=1, keepdims=True))


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
    assert result.summary.startswith("wrong pixel range for mine.keras: ")
    assert result.summary.endswith("; with 'train.pixel_range=[0,1]' it would be 100.00%")
    assert not result.passed


@pytest.mark.parametrize(
    ("gained", "images", "is_sure"),
    # Of 100 images, 10 that only one gets right are above 3 deviations of √10, 8 below 3 of √8.
    [((0.9, 1.0), 100, True), ((0.92, 1.0), 100, False), ((0.92, 1.0), 1000, True),
     ((0.1, 0.2), 100, False), ((0.5, 0.5), 100, False), ((0.5, 0.4), 10_000, False)],
)  # fmt: skip
def test_a_range_fails_the_run_where_the_gain_is_beyond_luck(gained, images, is_sure):
    now, other = gained
    reading = import_model.Reading(other, (0.0, 1.0))
    assert import_model.is_beyond_luck(reading, now, images) == is_sure


def test_a_model_that_guesses_is_said_to_and_passes(bring):
    _, result = bring(dense([np.zeros((48, 3), np.float32), np.eye(3, dtype=np.float32)[0]]))
    assert "no better than naming the most frequent class always (" in result.summary
    assert result.passed
    assert "most frequent" not in import_model.guessing_note(1.0, np.array([0, 1, 2] * 5))


def one_number(*head):
    """Tells row 1 or 2 from row 3 or 4 by one number, above 0 for the second class."""
    kernel = (BY_ROWS[0][:, 1:2] - BY_ROWS[0][:, :1]) / 400
    model = keras.Sequential([keras.Input(SHAPE), L.Flatten(), *head])
    model.set_weights([kernel, np.array([0.1], np.float32)])
    return model


ONE_NUMBER = {
    "a sigmoid": lambda: one_number(L.Dense(1, activation="sigmoid")),
    "a sigmoid of its own": lambda: one_number(L.Dense(1), L.Activation("sigmoid")),
    "a sigmoid inside": lambda: keras.Sequential(
        [keras.Input(SHAPE), one_number(L.Dense(1, activation="sigmoid"))]
    ),
    "a sigmoid that stays": lambda: one_number(
        L.Dense(1, activation="sigmoid"), L.Rescaling(1.0), L.Identity()
    ),
    "without dimensions": lambda: one_number(L.Dense(1, activation="sigmoid"), L.Reshape(())),
}


def two_by_hand(pixels):
    z = pixels.reshape(len(pixels), -1).astype(np.float64) @ one_number(L.Dense(1)).get_weights()[0]
    second = 1 / (1 + np.exp(-(z + 0.1)))
    return np.hstack([1 - second, second])


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_one_probability_becomes_those_of_two_classes(bring, two_classes, name):
    folder, result = bring(ONE_NUMBER[name](), two_classes)
    assert result.metrics["val_accuracy"] == 1
    assert_answers(folder, two_by_hand(images().images))


@pytest.mark.parametrize("name", ["a sigmoid", "without dimensions"])
def test_the_files_answer_with_two_probabilities_for_one(bring, two_classes, tmp_path, name):
    folder, _ = bring(ONE_NUMBER[name](), two_classes)
    given = written(folder / "model.keras", tmp_path, is_trusted=False, classes=CLASSES[:2])
    for name, probabilities in given.items():
        np.testing.assert_allclose(
            probabilities, two_by_hand(images().images), atol=1e-5, err_msg=name
        )


def test_one_logit_becomes_the_probabilities_of_two_classes(bring, two_classes, tmp_path):
    with pytest.raises(ConfigError, match=r"If they are logits, set train.gives=logits"):
        bring(one_number(L.Dense(1)), two_classes)
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(ConfigError, match=r"gives probabilities already"):
        bring(ONE_NUMBER["a sigmoid"](), two_classes, gives="logits")
    shutil.rmtree(tmp_path / "train")
    folder, _ = bring(one_number(L.Dense(1)), two_classes, gives="logits")
    assert_answers(folder, two_by_hand(images().images))


def test_two_classes_that_are_swapped_are_said_and_set_right(bring, two_classes, tmp_path):
    model = ONE_NUMBER["a sigmoid"]()
    model.set_weights([-weight for weight in model.get_weights()])
    _, result = bring(model, two_classes)
    assert result.summary.endswith(
        "; its classes stand in another order: with "
        """'train.class_order=["b", "a"]' it would be 100.00%"""
    )
    shutil.rmtree(tmp_path / "train")
    folder, _ = bring(tmp_path / "mine.keras", two_classes, class_order=("b", "a"))
    assert_answers(folder, two_by_hand(images().images))


def test_one_output_in_a_dict_is_taken(bring, tmp_path):
    image, model = keras.Input(SHAPE), sequential()
    folder, _ = bring(keras.Model(image, {"answer": model(image)}))
    expected = model(images().images.astype(np.float32), training=False)
    assert_files_answer(folder, tmp_path, expected)


SHIFTED = [BY_ROWS[0][:, [2, 0, 1]], BY_ROWS[1]]


def test_classes_in_another_order_are_said_and_fail_the_run(bring):
    _, result = bring(dense(SHIFTED))
    assert (result.metrics["val_accuracy"], result.passed) == (0, False)
    assert result.summary.startswith("wrong class order for mine.keras: ")
    assert result.summary.endswith(
        "; its classes stand in another order: with "
        """'train.class_order=["c", "a", "b"]' it would be 100.00%"""
    )


@pytest.mark.parametrize("head", [L.Activation("softmax"), L.Softmax(), L.ReLU()])
def test_with_their_order_they_are_brought_into_that_of_the_data(bring, tmp_path, head):
    small = [weights / 400 for weights in SHIFTED]
    soft = dense(small)
    model = keras.Sequential([*soft.layers[:-1], L.Dense(3), head])
    model.build((None, *SHAPE))
    model.set_weights(small)
    gives = "logits" if isinstance(head, L.ReLU) else "probabilities"
    folder, result = bring(model, class_order=("c", "a", "b"), gives=gives)
    assert (result.metrics["val_accuracy"], result.passed) == (1, True)
    expected = np.asarray(soft(images().images.astype(np.float32)))[:, [1, 2, 0]]
    assert_answers(folder, expected)
    if gives == "logits":
        assert_files_answer(folder, tmp_path, expected)


def test_a_wrong_order_in_the_config_is_said_too(bring):
    _, result = bring(dense(SHIFTED), class_order=("a", "c", "b"))
    assert """with 'train.class_order=["c", "a", "b"]' it would be 100.00%""" in result.summary


def test_a_range_and_an_order_that_are_both_wrong_are_said_together(bring):
    scaled = keras.Sequential([keras.Input(SHAPE), L.ReLU(max_value=1.0), dense(SHIFTED)])
    _, result = bring(scaled)
    assert result.summary.startswith("wrong pixel range and class order for mine.keras: ")
    assert result.summary.endswith(
        "with 'train.pixel_range=[0,1]' "
        """'train.class_order=["c", "a", "b"]' it would be 100.00%"""
    )
    assert not result.passed
