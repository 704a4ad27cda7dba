"""Views of images: moved as in training and otherwise left alone, the same each time."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.geometric import augment
from pipeline.evaluation.predict import Views, answers

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 9, 8, 1), np.uint8)
BATCH = IMAGES.astype(np.float32)
SHIFTS = AugmentationSection(shift_fraction=0.3)
OTHER_CHANGES = {
    "invert_probability": 1.0,
    "contrast_fraction": 0.5,
    "brightness_fraction": 0.5,
    "blur_sigma": 2.0,
    "noise_stddev": 50.0,
    "erasing_probability": 1.0,
    "mixup_alpha": 1.0,
}


class Task:
    done = ()

    def advance(self, steps=1, note=""):
        self.done = (*self.done, steps)


def view(number, section=SHIFTS, seed=3, start=0):
    return Views(section, seed).change(number)(BATCH, start).numpy()


def test_a_certain_flip_is_numpys_and_nothing_else_happens_to_a_test_image():
    section = AugmentationSection(horizontal_flip_probability=1.0, **OTHER_CHANGES)
    np.testing.assert_array_equal(view(1, section), BATCH[:, :, ::-1])


@pytest.mark.parametrize("other", [{"number": 2}, {"number": 1, "seed": 4}])
def test_each_view_moves_in_a_way_of_its_own_that_the_seed_decides(other):
    np.testing.assert_array_equal(view(1), view(1))
    assert np.abs(view(1) - view(**other)).max() > 1


def test_each_batch_of_a_view_moves_in_a_way_of_its_own():
    assert np.abs(view(1) - view(1, start=7)).max() > 1


def test_a_view_moves_otherwise_than_any_epoch_of_training():
    found = view(1)
    for epoch in range(3):
        seed = tf.random.fold_in([3, epoch], tf.constant(0, tf.int64), alg="philox")
        trained = augment(tf.constant(BATCH), SHIFTS, seed).numpy()
        assert np.abs(found - trained).max() > 1


def test_answers_come_in_order_from_batches_that_know_their_place():
    asked = []

    def change(batch, start):
        asked.append((len(batch), start))
        return batch + start

    task = Task()
    found = answers(lambda batch, training: batch[:, 0, 0], IMAGES, 3, task, change)
    assert asked == [(3, 0), (3, 3), (1, 6)]
    assert task.done == (3, 3, 1)
    np.testing.assert_array_equal(found, BATCH[:, 0, 0] + [[0], [0], [0], [3], [3], [3], [6]])
