"""Models that give the right classes in another order, and models that are merely bad."""

import keras
import numpy as np
import pytest

from pipeline.training.model_ends import places

L = keras.layers


def answered(order, count, accuracy=1.0, seed=0):
    """Labels, and the answers of a model that has class c at output order[c]."""
    random, classes = np.random.default_rng(seed), len(order)
    labels = random.integers(0, classes, count)
    wrong = random.random(count) > accuracy
    given = np.where(wrong, random.integers(0, classes, count), np.array(order)[labels])
    return given, labels


BY_NAME = sorted(range(12), key=str).index  # "10" and "11" before "2"
ORDERS = {
    "shifted": [(c + 1) % 10 for c in range(10)],
    "by name, not number": [BY_NAME(c) for c in range(12)],
    "two swapped": [0, 1, 2, 4, 3, 5, 6, 7, 8, 9],
    "of two classes": [1, 0],
    "a hundred": [(7 * c + 3) % 100 for c in range(100)],
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("accuracy", [1.0, 0.8])
def test_the_order_of_a_good_model_is_found(name, accuracy):
    order = ORDERS[name]
    given, labels = answered(order, max(500, 10 * len(order)), accuracy)
    found = places(given, labels, len(order))
    assert (found == order).mean() >= (1 if len(order) < 100 else 0.9)


def test_few_images_of_a_class_follow_the_others():
    order = [0, 4, 3, 2, 1]
    given, labels = answered(order, 50)
    np.testing.assert_array_equal(places(given, labels, 5), order)


def test_a_class_without_images_takes_the_place_that_is_left():
    order = [1, 2, 3, 0]
    given, labels = answered(order, 200)
    kept = labels != 2
    np.testing.assert_array_equal(places(given[kept], labels[kept], 4), order)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_a_model_that_guesses_is_not_said_to_be_in_another_order(classes):
    for seed in range(200):
        given, labels = answered(range(classes), 10 * classes + 30, accuracy=0, seed=seed)
        np.testing.assert_array_equal(places(given, labels, classes), range(classes))


@pytest.mark.parametrize("accuracy", [0.2, 0.5, 0.9])
def test_a_model_that_is_merely_bad_stands_in_its_order(accuracy):
    for seed in range(50):
        given, labels = answered(range(10), 500, accuracy, seed)
        np.testing.assert_array_equal(places(given, labels, 10), range(10))


def test_a_model_that_always_says_the_same_stands_in_its_order():
    labels = np.arange(500) % 10
    np.testing.assert_array_equal(places(np.full(500, 3), labels, 10), range(10))


def test_a_model_that_cannot_tell_two_classes_apart_stands_in_its_order():
    labels = np.arange(500) % 10
    for answer in (4, 9):
        given = np.where(np.isin(labels, (4, 9)), answer, labels)
        np.testing.assert_array_equal(places(given, labels, 10), range(10))


def test_two_classes_of_a_model_that_is_bad_at_all_others_stand_in_their_order():
    given, labels = answered([1, 0, *range(2, 10)], 500, seed=1)
    is_other = labels > 1
    given[is_other] = np.random.default_rng(2).integers(2, 10, is_other.sum())
    np.testing.assert_array_equal(places(given, labels, 10), range(10))


def test_a_weak_model_of_many_classes_in_another_order_is_found():
    order = [(c + 1) % 20 for c in range(20)]
    given, labels = answered(order, 500, accuracy=0.62)
    np.testing.assert_array_equal(places(given, labels, 20), order)


def test_untrained_networks_stand_in_their_order():
    random = np.random.default_rng(0)
    labels = np.arange(500) % 10
    images = random.integers(0, 60, (500, 12, 12, 1)).astype(np.float32)
    for label, image in zip(labels, images, strict=True):
        image[label : label + 3, 2:10] += 150  # so that they differ
    for seed in range(10):
        keras.utils.set_random_seed(seed)
        body = [L.Rescaling(1 / 255), L.Conv2D(8, 3, activation="relu"), L.Flatten(), L.Dense(10)]
        given = np.asarray(keras.Sequential(body)(images)).argmax(axis=1)
        np.testing.assert_array_equal(places(given, labels, 10), range(10))
