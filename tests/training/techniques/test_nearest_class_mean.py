"""A head of class means, against distances worked out one by one."""

import keras
import numpy as np
import pytest

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.types import LabelledImages
from pipeline.training.fit import Splits
from pipeline.training.techniques.nearest_class_mean import (
    choose_factor,
    nearest_mean,
    set_nearest_mean,
)
from tests.training import resumed_training as training
from tests.training.begun_models import CLASSES, make, weights, with_other_weights


def nearest(means, point):
    return min(range(len(means)), key=lambda c: sum((point - means[c]) ** 2))


def test_the_dense_layer_answers_with_the_nearest_mean_wherever_its_centre_is():
    random = np.random.default_rng(0)
    means, points = random.normal(size=(4, 3)), random.normal(size=(50, 3))
    expected = [nearest(means, point) for point in points]
    for centre in (np.zeros(3), np.full(3, 7.0)):
        kernel, bias = nearest_mean(means, centre)
        assert (points @ kernel + bias).argmax(axis=1).tolist() == expected


def test_a_hand_worked_head_of_two_means():
    kernel, bias = nearest_mean(np.array([[1.0, 0.0], [0.0, 2.0]]), np.zeros(2))
    assert kernel.tolist() == [[2, 0], [0, 4]]
    assert bias.tolist() == [-1, -4]


def test_the_factor_is_that_of_the_lowest_loss_on_validation():
    # Three of four right at a margin of 1: the best probability of the right class is 3 / 4.
    logits = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    found = choose_factor(logits, np.array([0, 0, 0, 1]), unit=1.0)
    assert found.accuracy == 0.75
    assert found.factor == pytest.approx(np.log(3), rel=0.07)
    assert found.loss == pytest.approx(-(3 * np.log(3 / 4) + np.log(1 / 4)) / 4, abs=1e-3)


def test_only_the_head_changes_and_validation_alone_is_asked_for_the_factor():
    model = with_other_weights(make())
    before = weights(model)
    train, validation = training.images(30, seed=1), training.images(12, seed=2)
    found = set_nearest_mean(model, Splits(train, validation, 3), CLASSES)
    after = weights(model)
    assert {name for name in after if after[name] != before[name]} == {"logits"}
    features = keras.Model(model.inputs[0], model.get_layer("dropout").output)
    seen, asked = (features(part.images.astype("float32")).numpy() for part in (train, validation))
    means = [seen[train.labels == label].mean(axis=0) for label in range(3)]
    expected = [nearest(means, point) for point in asked]
    answers = model(validation.images.astype("float32")).numpy()
    assert answers.argmax(axis=1).tolist() == expected
    assert found.accuracy == pytest.approx((expected == validation.labels).mean())
    right = answers[np.arange(12), validation.labels]
    assert found.loss == pytest.approx(-np.log(right).mean(), rel=1e-3)


def test_a_class_without_images_and_a_head_that_is_no_dense_layer_are_refused():
    part = training.images(4, seed=1)
    lacking = LabelledImages(part.images[:2], part.labels[:2])
    with pytest.raises(DataError, match="no image of class 'c', so it has no mean"):
        set_nearest_mean(make(), Splits(lacking, part, 3), CLASSES)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 8, name="last")])
    with pytest.raises(ConfigError, match="the head last is no Dense layer"):
        set_nearest_mean(model, Splits(part, part, 3), CLASSES)
