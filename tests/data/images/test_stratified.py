import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.data.images.stratified import sample_per_class, split_validation, stratified_sample

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
SIZES = st.lists(st.integers(2, 40), min_size=1, max_size=8)


def classes_of(labels, indices):
    return np.bincount(labels[indices], minlength=labels.max() + 1).tolist()


def test_each_class_keeps_its_share():
    assert classes_of(LABELS, stratified_sample(LABELS, 20, seed=0)) == [12, 6, 2]


def test_as_many_of_each_class_are_drawn_as_are_asked_for_or_there_are():
    drawn = sample_per_class(LABELS, 20, seed=0)
    assert classes_of(LABELS, drawn) == [20, 20, 10]
    assert len(np.unique(drawn)) == 50
    assert drawn.tolist() != sample_per_class(LABELS, 20, seed=1).tolist()


def test_remainders_go_to_the_largest_fractions():
    # 25 of 100: exactly 15, 7.5 and 2.5, and one of the two halves is rounded up.
    counts = classes_of(LABELS, stratified_sample(LABELS, 25, seed=0))
    assert counts in ([15, 8, 2], [15, 7, 3])


def test_a_rare_class_gets_one_image():
    labels = np.repeat([0, 1], [999, 1])
    assert classes_of(labels, stratified_sample(labels, 10, seed=0)) == [9, 1]


def test_fewer_images_than_classes_are_still_drawn():
    assert len(stratified_sample(np.arange(10), 4, seed=0)) == 4


def test_a_count_beyond_the_images_takes_all():
    assert stratified_sample(LABELS, 1000, seed=0).tolist() == list(range(100))


def test_seed_and_purpose_decide_the_draw():
    first = stratified_sample(LABELS, 20, 1).tolist()
    assert first == stratified_sample(LABELS, 20, 1).tolist()
    assert first != stratified_sample(LABELS, 20, 2).tolist()
    assert first != stratified_sample(LABELS, 20, 1, "calibration").tolist()


def test_mnist_sized_validation_is_a_twelfth():
    labels = np.repeat(np.arange(10), 6000)
    train, validation = split_validation(labels, 1 / 12, seed=0)
    assert (len(train), len(validation)) == (55000, 5000)
    assert classes_of(labels, validation) == [500] * 10


@settings(max_examples=60, deadline=None)
@given(SIZES, st.floats(0.01, 0.99), st.integers(0, 2**31 - 1))
def test_validation_and_training_part_the_images_and_share_every_class(sizes, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    train, validation = split_validation(labels, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert set(labels[train]) == set(labels[validation]) == set(range(len(sizes)))
    assert train.tolist() == sorted(train)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 200), st.integers(0, 99))
def test_a_sample_has_its_count_and_fair_shares(sizes, count, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    chosen = stratified_sample(labels, count, seed)
    assert len(set(chosen)) == min(count, len(labels))
    exact = np.array(sizes) * min(count, len(labels)) / len(labels)
    counts = np.array(classes_of(labels, chosen))
    assert (counts <= np.maximum(np.ceil(exact), 1)).all()
    if count >= len(sizes):
        assert (counts >= 1).all()


def test_a_class_with_one_image_is_refused():
    with pytest.raises(DataError, match="label 1 has one image"):
        split_validation(np.array([0, 0, 0, 1]), 0.5, seed=0)
