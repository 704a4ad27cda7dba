"""After training, a probability says how often such an answer is right."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

from pipeline.data.images.types import LabelledImages
from pipeline.training.calibration import calibrate, temperature
from pipeline.training.fit import Splits

CLASSES = 4


def drawn(logits, random):
    """A label for each row, as likely as the row's softmax says."""
    return np.array([random.choice(CLASSES, p=row) for row in softmax(logits, axis=1)])


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 3.0])
def test_the_temperature_that_logits_are_wrong_by_is_found(wrong_by):
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, CLASSES))
    assert temperature(wrong_by * logits, drawn(logits, random)) == pytest.approx(wrong_by, rel=0.1)


def test_few_images_that_are_all_answered_well_are_no_proof_of_certainty():
    found = temperature(5 * np.eye(CLASSES), np.arange(CLASSES))
    assert softmax(5 * np.eye(CLASSES) / found, axis=1).max() == pytest.approx(1 - 1 / 6 * 3 / 4)


@pytest.fixture
def splits():
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (300, 3, 3, 1)).astype(np.uint8)
    labels = drawn(images.reshape(300, 9)[:, :CLASSES] / 60, random)
    data = LabelledImages(images, labels)
    return Splits(data, data, CLASSES)


def network(*ends):
    keras.utils.set_random_seed(0)
    image = keras.Input((3, 3, 1), name="image")
    return keras.Sequential([image, keras.layers.Rescaling(1 / 60), keras.layers.Flatten(), *ends])


def entropy(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


def test_the_division_is_in_the_last_weights_and_changes_no_answer(splits):
    softmax_layer = keras.layers.Activation("softmax", name="probabilities")
    model = network(keras.layers.Dense(CLASSES, kernel_initializer="he_normal"), softmax_layer)
    images, labels = splits.validation.images, splits.validation.labels
    before = model.predict(images, verbose=0)
    found = calibrate(model, splits)
    after = model.predict(images, verbose=0)
    assert found != pytest.approx(1, rel=0.1)
    np.testing.assert_allclose(after, softmax(np.log(before) / found, axis=1), atol=1e-5)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert entropy(after, labels) < entropy(before, labels)


@pytest.mark.parametrize(
    "ends",
    [
        lambda: [keras.layers.Dense(CLASSES, activation="softmax")],
        lambda: [keras.layers.Dense(CLASSES, activation="relu"), keras.layers.Softmax()],
    ],
    ids=["softmax within", "not linear"],
)
def test_a_network_that_ends_otherwise_stays_as_it_is(splits, ends):
    model = network(*ends())
    before = model.get_weights()
    assert calibrate(model, splits) is None
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
