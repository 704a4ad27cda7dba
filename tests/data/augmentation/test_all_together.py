"""What holds for every change alike, alone and together with others."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.geometric import augment, flip_first, inverse_affine, transform
from pipeline.data.batches import BatchPlan, training_batches
from pipeline.data.images.types import LabelledImages

SEED = tf.constant([3, 4], tf.int64)
IMAGES = np.random.default_rng(1).integers(0, 256, (6, 12, 10, 3)).astype(np.uint8)
AFFINE = {
    "rotation_degrees": 20.0,
    "shift_fraction": 0.1,
    "zoom_fraction": 0.2,
    "shear_fraction": 0.15,
}
CHANGES = {
    "horizontal flip": {"horizontal_flip_probability": 0.5},
    "vertical flip": {"vertical_flip_probability": 0.5},
    "elastic": {"elastic_alpha": 20.0, "elastic_sigma": 2.0},
    "invert": {"invert_probability": 0.5},
    "contrast": {"contrast_fraction": 0.9},
    "brightness": {"brightness_fraction": 0.5},
    "blur": {"blur_sigma": 2.0},
    "noise": {"noise_stddev": 60.0},
    "paper": {"paper": {"probability": 0.8}},
    "erasing": {"erasing_probability": 0.7},
    "constant erasing": {"erasing_probability": 0.7, "erasing_fill": "constant"},
    "affine": AFFINE,
}
TOGETHER = {name: value for change in CHANGES.values() for name, value in change.items()}
UNBENT = {name: value for name, value in TOGETHER.items() if not name.startswith("elastic")}
EACH = [
    pytest.param(AugmentationSection(**change), id=name)
    for name, change in {
        **CHANGES,
        "all together": TOGETHER,
        "all but elastic": UNBENT,
    }.items()
]


def changed(section, images=IMAGES, seed=SEED):
    return augment(tf.constant(images, tf.float32), section, seed).numpy()


OFF = [n for n, field in AugmentationSection.model_fields.items() if field.default == 0.0]


@pytest.mark.parametrize("setting", sorted({*OFF} - {"fill_value"}))
def test_each_change_that_is_turned_on_alone_is_made(setting):
    """One that `is_enabled` does not know would never be."""
    assert AugmentationSection(**{setting: 0.5}).is_enabled


@pytest.mark.parametrize("section", EACH)
def test_a_change_alone_changes_images_and_keeps_shape_and_range(section):
    found = changed(section)
    assert found.dtype == np.float32
    assert found.shape == IMAGES.shape
    assert 0 <= found.min() <= found.max() <= 255
    assert np.abs(found - IMAGES).max() > 1


@pytest.mark.parametrize("section", EACH)
def test_the_seed_alone_decides(section):
    first = changed(section)
    tf.random.set_seed(5)
    np.testing.assert_array_equal(changed(section), first)
    other = changed(section, seed=tf.constant([3, 5], tf.int64))
    assert np.abs(first - other).max() > 1


@pytest.mark.parametrize("section", EACH)
def test_equal_images_of_a_batch_are_changed_differently(section):
    found = changed(section, images=np.repeat(IMAGES[:1], 12, axis=0))
    assert len({image.tobytes() for image in found}) > 1


def test_each_change_gives_in_a_graph_what_eager_gives():
    sections = {case.id: case.values[0] for case in EACH}

    @tf.function(input_signature=[tf.TensorSpec([None, *IMAGES.shape[1:]])], autograph=False)
    def in_graph(images):
        return {name: augment(images, section, SEED) for name, section in sections.items()}

    for name, found in in_graph(IMAGES.astype(np.float32)).items():
        expected = changed(sections[name])
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=name)


def test_training_batches_hold_what_eager_gives_and_keep_labels():
    section = AugmentationSection(**TOGETHER)
    data = LabelledImages(IMAGES, np.arange(6) % 4)
    plan = BatchPlan(num_classes=4, batch_size=6, seed=9, epochs=2)
    plain = list(training_batches(data, AugmentationSection(), plan).as_numpy_iterator())
    found = list(training_batches(data, section, plan).as_numpy_iterator())
    for epoch in (0, 1):
        seed = tf.random.fold_in([9, epoch], tf.constant(0, tf.int64), alg="philox")
        expected = changed(section, images=plain[epoch][0], seed=seed)
        np.testing.assert_allclose(found[epoch][0], expected, atol=1e-3)
        np.testing.assert_array_equal(found[epoch][1], plain[epoch][1])


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "wrap"])
def test_the_affine_map_alone_gives_the_images_that_it_gave_before_there_was_more(mode):
    images = tf.constant(IMAGES, tf.float32)
    turn, shift_y, shift_x, zoom, shear = tf.unstack(
        tf.random.stateless_uniform((5, 6), SEED, -1.0, 1.0, alg="philox")
    )
    matrices = inverse_affine(
        (12, 10),
        rotation=turn * math.radians(20),
        shift=(shift_y * 0.1 * 12, shift_x * 0.1 * 10),
        zoom=1.0 + zoom * 0.2,
        shear=shear * 0.15,
    )
    section = AugmentationSection(**AFFINE, fill_mode=mode)
    expected = transform(images, matrices, section).numpy()
    np.testing.assert_array_equal(augment(images, section, SEED).numpy(), expected)


def test_one_change_does_not_alter_what_another_draws():
    inverted = changed(AugmentationSection(invert_probability=0.5))
    flags = [not np.array_equal(a, b) for a, b in zip(inverted, IMAGES, strict=True)]
    both = changed(AugmentationSection(invert_probability=0.5, vertical_flip_probability=0.5))
    flips = changed(AugmentationSection(vertical_flip_probability=0.5))
    expected = np.where(np.array(flags)[:, None, None, None], 255 - flips, flips)
    np.testing.assert_array_equal(both, expected)


def flipped(images, horizontal, vertical):
    count = len(images)
    still = {"rotation": 0.0, "zoom": 1.0, "shear": 0.0}
    matrices = inverse_affine(
        images.shape[1:3],
        shift=(tf.zeros(count), tf.zeros(count)),
        **{name: tf.fill([count], value) for name, value in still.items()},
    )
    matrices = flip_first(
        matrices,
        images.shape[1:3],
        horizontal=tf.constant(horizontal),
        vertical=tf.constant(vertical),
    )
    return transform(tf.constant(images, tf.float32), matrices, AugmentationSection()).numpy()


HORIZONTAL = [True, False, True, False, True, False]
VERTICAL = [True, True, False, False, True, True]


def test_a_flip_is_numpys_for_the_chosen_images_alone():
    found = flipped(IMAGES, HORIZONTAL, VERTICAL)
    for image, result, across, down in zip(IMAGES, found, HORIZONTAL, VERTICAL, strict=True):
        expected = image[:, ::-1] if across else image
        np.testing.assert_array_equal(result, expected[::-1] if down else expected)


def test_a_flip_twice_is_the_identity():
    twice = flipped(flipped(IMAGES, HORIZONTAL, VERTICAL), HORIZONTAL, VERTICAL)
    np.testing.assert_array_equal(twice, IMAGES)


def test_a_flip_comes_before_the_affine_map():
    section = AugmentationSection(**AFFINE)
    with_flip = section.model_copy(update={"horizontal_flip_probability": 1.0})
    expected = changed(section, images=IMAGES[:, :, ::-1])
    np.testing.assert_allclose(changed(with_flip), expected, atol=1e-2)


def test_flips_come_as_often_as_they_should():
    images = np.zeros((4000, 1, 2, 1), np.uint8)
    images[:, :, 0] = 255
    found = changed(AugmentationSection(horizontal_flip_probability=0.3), images=images)
    assert set(np.unique(found)) == {0, 255}
    assert abs((found[:, 0, 1, 0] == 255).mean() - 0.3) < 0.03


def test_the_two_flips_are_chosen_apart():
    images = np.tile(np.array([[[1], [2]], [[3], [4]]], np.uint8), (4000, 1, 1, 1))
    section = AugmentationSection(horizontal_flip_probability=0.5, vertical_flip_probability=0.5)
    corners, counts = np.unique(changed(section, images=images)[:, 0, 0, 0], return_counts=True)
    assert corners.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(counts / 4000, 0.25, atol=0.03)


def test_what_can_be_certain_happens_always_and_what_is_off_never():
    section = AugmentationSection(horizontal_flip_probability=1.0, vertical_flip_probability=0.0)
    np.testing.assert_array_equal(changed(section), IMAGES[:, :, ::-1])


@pytest.mark.parametrize("area", [(0.0, 0.4), (0.5, 0.4), (0.2, 1.1)])
def test_an_area_to_erase_that_cannot_be_is_refused(area):
    with pytest.raises(ValueError, match="0 < low <= high <= 1"):
        AugmentationSection(erasing_area=area)
