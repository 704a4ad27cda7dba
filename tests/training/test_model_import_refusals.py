"""Models from files that are refused, with the reason and what to do."""

import keras
import numpy as np
import pytest

from export.model_files import model_file
from pipeline.errors import ConfigError
from tests.training.brought_models import BY_ROWS, FORGETFUL, SHAPE, dense, images, sequential

L = keras.layers


def test_a_class_whose_config_lacks_something_is_refused(bring, tmp_path):
    code = tmp_path / "net.py"
    code.write_text(FORGETFUL)
    path = tmp_path / "mine.keras"
    space = {"__name__": "elsewhere"}
    exec(FORGETFUL, space)
    model = space["Net"](filters=5)
    model(images().images.astype(np.float32))
    model.save(path)
    keras.saving.get_custom_objects().clear()
    with pytest.raises(ConfigError, match=r"mine.keras: Keras cannot load it"):
        bring(path, trust_model_file=True, model_code=code)


def test_probabilities_get_no_second_softmax(bring):
    with pytest.raises(ConfigError, match="gives probabilities already; a second softmax"):
        bring(sequential(), gives="logits")


def two_inputs():
    first, second = keras.Input(SHAPE), keras.Input(SHAPE)
    return keras.Model([first, second], L.Dense(3)(L.Flatten()(first + second)))


def two_outputs():
    image = keras.Input(SHAPE)
    flat = L.Flatten()(image)
    return keras.Model(image, [L.Dense(3)(flat), L.Dense(3)(flat)])


def of_shape(*shape, **options):
    return keras.Sequential(
        [keras.Input(shape, **options), L.Flatten(), L.Dense(3, activation="softmax")]
    )


def channels_first():
    pool = L.MaxPooling2D(1, data_format="channels_first")
    return keras.Sequential([keras.Input(SHAPE), pool, L.Flatten(), L.Dense(3)])


MISFITS = {
    r"takes 2 inputs; expected one, the image": two_inputs,
    r"gives more than one output; expected the probabilities alone": two_outputs,
    r"takes images of shape \(28, 28, 1\), but the data's are \(8, 6, 1\)": lambda: of_shape(
        28, 28, 1
    ),
    r"takes images of shape \(48,\), but .* put a Reshape or Resizing": lambda: of_shape(48),
    r"takes batches of exactly 4; make its Input without": lambda: of_shape(*SHAPE, batch_size=4),
    r"takes uint8; expected an Input of float32": lambda: of_shape(*SHAPE, dtype="uint8"),
    r"gives an output of shape \(5,\) for each image, but the data has 3": lambda: sequential(
        L.Dense(5, activation="softmax")
    ),
    r"gives an output of shape \(1,\)": lambda: sequential(L.Dense(1, activation="sigmoid")),
    r"layer max_pooling2d\S* has data_format channels_first": channels_first,
}


@pytest.mark.parametrize("said", MISFITS, ids=range(len(MISFITS)))
def test_a_model_that_does_not_fit_is_refused_with_what_to_do(bring, said):
    with pytest.raises(ConfigError, match=said):
        bring(MISFITS[said]())


def test_a_model_that_gives_no_number_is_refused(bring):
    model = dense([np.full((48, 3), np.nan, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(ConfigError, match="gives no number for some validation images"):
        bring(model)


def test_an_answer_that_changes_in_saving_is_refused(bring, monkeypatch):
    other = dense([np.eye(48, 3, dtype=np.float32), np.zeros(3, np.float32)])
    monkeypatch.setattr(model_file, "load_published", lambda path, *, is_trusted: other)
    with pytest.raises(ConfigError, match="saved and loaded again, it answers otherwise"):
        bring(dense(BY_ROWS))
