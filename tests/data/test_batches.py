from unittest.mock import patch

import numpy as np
import pytest

from pipeline.config.schema import AugmentationSection
from pipeline.data import batches as dataset
from pipeline.data import dataset_json, sharding, tfrecords
from pipeline.data.batches import BatchPlan, evaluation_batches, steps_per_epoch, training_batches
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages

COUNT, CLASSES = 23, 4
OFF = AugmentationSection()
ON = AugmentationSection(rotation_degrees=15, shift_fraction=0.1)


@pytest.fixture(scope="module")
def data():
    """Images that each hold their own index in the corner, with labels index mod 4."""
    images = np.zeros((COUNT, 6, 5, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(COUNT)
    images[:, 2:4, 1:4] = 100 + np.arange(COUNT)[:, None, None, None]
    return LabelledImages(images, np.arange(COUNT) % CLASSES)


@pytest.fixture(scope="module")
def shards(data, tmp_path_factory):
    """The same in files of four images each."""
    folder = tmp_path_factory.mktemp("shards")
    counts = tuple(np.bincount(data.labels).tolist())
    described = Description((6, 5, 1), tuple("abcd"), {"train": counts}, (), (), "a test", {}, {})
    dataset_json.write(folder, described)
    with patch.object(sharding, "SHARD_BYTES", 4 * 6 * 5):
        tfrecords.write_split(folder, "train", data)
    return tfrecords.open_split(folder, "train")


@pytest.fixture(scope="module", params=["memory", "shards"])
def anywhere(request, data, shards):
    return data if request.param == "memory" else shards


def plan(epochs=3, first_epoch=0, first_step=0, seed=0):
    return BatchPlan(CLASSES, 10, seed, epochs, first_epoch, first_step)


def batches(data, augmentation=OFF, **options):
    return list(training_batches(data, augmentation, plan(**options)).as_numpy_iterator())


@pytest.fixture(scope="module")
def epochs(anywhere):
    """The batches of three epochs, unchanged."""
    return batches(anywhere)


def order(found):
    return [images[:, 0, 0, 0].astype(int).tolist() for images, _ in found]


def test_batches_have_the_promised_types_and_keep_the_small_last_one(epochs):
    found = epochs
    assert [len(images) for images, _ in found] == 3 * [10, 10, 3]
    images, targets = found[0]
    assert images.dtype == targets.dtype == np.float32
    assert images.shape == (10, 6, 5, 1)
    assert targets.shape == (10, CLASSES)


def test_each_epoch_holds_every_image_once_in_an_order_of_its_own(epochs):
    found = order(epochs)
    epochs = [[i for part in found[at : at + 3] for i in part] for at in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_images_keep_their_pixels_and_labels(data, epochs):
    for images, targets in epochs:
        indices = images[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(images, data.images[indices].astype(np.float32))
        np.testing.assert_array_equal(targets, np.eye(CLASSES)[indices % CLASSES])


def test_a_run_that_goes_on_sees_the_same_images(anywhere):
    mixed = ON.model_copy(update={"mixup_alpha": 0.4})
    whole = batches(anywhere, mixed, epochs=5)
    for step in (0, 2):
        rest = batches(anywhere, mixed, epochs=5, first_epoch=3, first_step=step)
        assert len(rest) == 2 * 3 - step
        left = whole[9 + step :]
        for (images, targets), (other_images, other_targets) in zip(rest, left, strict=True):
            np.testing.assert_array_equal(images, other_images)
            np.testing.assert_array_equal(targets, other_targets)


def test_another_seed_gives_another_order(anywhere, epochs):
    assert order(epochs)[:3] != order(batches(anywhere, epochs=1, seed=1))


def test_images_of_one_shard_are_spread_over_an_epoch(shards, monkeypatch):
    """With a buffer of one batch, the open shards alone mix 23 images that lie in order."""
    monkeypatch.setattr(dataset, "SHUFFLE_BYTES", 0)
    first_batch = order(batches(shards, epochs=1))[0]
    assert len({index // 4 for index in first_batch}) > 3


def test_the_same_image_is_changed_differently_in_each_epoch(data):
    single = data.select(np.zeros(1, np.int64) + 7)
    first, second, third = (images for images, _ in batches(single, ON))
    assert np.abs(first - second).max() > 1
    assert np.abs(second - third).max() > 1


def test_equal_images_at_two_positions_are_changed_differently(data):
    same = data.select(np.full(20, 7))
    (first, _), (second, _) = batches(same, ON, epochs=1)
    assert np.abs(first - second).max() > 1


def test_steps_count_the_small_last_batch():
    assert [steps_per_epoch(count, 10) for count in (1, 10, 11, 23)] == [1, 1, 2, 3]


def test_evaluation_keeps_the_order(data, anywhere):
    found = list(evaluation_batches(anywhere, CLASSES, 10).as_numpy_iterator())
    images, targets = (np.concatenate(parts) for parts in zip(*found, strict=True))
    np.testing.assert_array_equal(images, data.images.astype(np.float32))
    np.testing.assert_array_equal(targets, np.eye(CLASSES)[data.labels])
    assert images.dtype == targets.dtype == np.float32


def test_the_number_of_evaluation_batches_is_known(anywhere):
    assert evaluation_batches(anywhere, CLASSES, 10).cardinality() == 3


def test_images_are_no_constant_of_a_graph(data):
    large = data.select(np.zeros(2000, np.int64))
    chain = [training_batches(large, ON, plan()), evaluation_batches(large, CLASSES, 10)]
    while chain:
        last = chain.pop()
        chain.extend(last._inputs())
        for function in last._functions():
            graph = function.function.graph.as_graph_def()
            assert graph.ByteSize() < large.images.nbytes / 2


def test_batches_come_from_threads_of_their_own_in_order(anywhere):
    options = training_batches(anywhere, OFF, plan()).options()
    assert options.threading.private_threadpool_size == 2
    assert options.deterministic is True
