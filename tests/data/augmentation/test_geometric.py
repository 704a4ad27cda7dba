import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.geometric import augment, inverse_affine, transform

ALL = AugmentationSection(
    rotation_degrees=20, shift_fraction=0.1, zoom_fraction=0.2, shear_fraction=0.15
)
SEED = tf.constant([3, 4], tf.int64)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 2)).astype(np.float32)


def change(images, *, section=ALL, rotation=0.0, shift=(0.0, 0.0), zoom=1.0, shear=0.0):
    same = [tf.fill([len(images)], float(v)) for v in (rotation, *shift, zoom, shear)]
    matrices = inverse_affine(
        images.shape[1:3],
        rotation=same[0],
        shift=(same[1], same[2]),
        zoom=same[3],
        shear=same[4],
    )
    return transform(tf.constant(images), matrices, section).numpy()


def test_no_change_is_exact():
    np.testing.assert_array_equal(change(IMAGES), IMAGES)


def test_a_shift_by_whole_pixels_is_exact():
    shifted = change(IMAGES, shift=(2, -3))
    expected = np.zeros_like(IMAGES)
    expected[:, 2:, :-3] = IMAGES[:, :-2, 3:]
    np.testing.assert_array_equal(shifted, expected)


def test_a_shift_by_half_a_pixel_is_the_mean_of_neighbours():
    row = np.array([10, 20, 40, 80], np.float32).reshape(1, 1, 4, 1)
    assert change(row, shift=(0, 0.5)).ravel().tolist() == [5, 15, 30, 60]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_right_angles_turn_anticlockwise_like_rot90(turns):
    square = IMAGES[:, :7]
    turned = change(square, rotation=turns * math.pi / 2)
    np.testing.assert_allclose(turned, np.rot90(square, turns, axes=(1, 2)), atol=1e-3)


def test_zoom_by_two_enlarges_about_the_centre():
    row = np.array([0, 100, 40, 60, 0], np.float32)
    zoomed = change(np.tile(row, (5, 1))[None, :, :, None], zoom=2)[0, 2, :, 0]
    np.testing.assert_allclose(zoomed, [100, 70, 40, 50, 60])


def test_shear_moves_rows_by_their_distance_from_the_centre():
    column = np.zeros((1, 5, 5, 1), np.float32)
    column[0, :, 2] = 255
    np.testing.assert_array_equal(change(column, shear=1)[0, :, :, 0], 255 * np.eye(5))


@settings(max_examples=40, deadline=None)
@given(
    rotation=st.floats(-math.pi, math.pi),
    shift=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    zoom=st.floats(0.5, 1.9),
    shear=st.floats(-0.9, 0.9),
)
def test_any_map_samples_as_scipy_does(rotation, shift, zoom, shear):
    # The forward map as a product of matrices on (row, column), inverted by NumPy.
    turn = [[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]]
    forward = np.array(turn) @ [[1, 0], [shear, 1]] @ (zoom * np.eye(2))
    inverse = np.linalg.inv(forward)
    centre = np.array([4.0, 3.0])
    expected = ndimage.affine_transform(
        IMAGES[0, :, :, 0],
        inverse,
        offset=centre - inverse @ (centre + shift),
        order=1,
        mode="grid-constant",
    )
    changed = change(IMAGES[:1], rotation=rotation, shift=shift, zoom=zoom, shear=shear)
    np.testing.assert_allclose(changed[0, :, :, 0], expected, atol=0.02)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("constant", [7, 7, 10, 20, 30]),
        ("nearest", [10, 10, 10, 20, 30]),
        ("reflect", [20, 10, 10, 20, 30]),
        ("wrap", [40, 50, 10, 20, 30]),
    ],
)
def test_fill_modes_say_what_lies_beyond_the_edge(mode, expected):
    row = np.array([10, 20, 30, 40, 50], np.float32).reshape(1, 1, 5, 1)
    section = AugmentationSection(fill_mode=mode, fill_value=7)
    assert change(row, section=section, shift=(0, 2)).ravel().tolist() == expected


def test_each_image_gets_a_map_of_its_own():
    equal = np.repeat(IMAGES[:1], 2, axis=0)
    first, second = augment(tf.constant(equal), ALL, SEED).numpy()
    assert np.abs(first - second).max() > 1


def test_the_seed_alone_decides():
    images = tf.constant(IMAGES)
    first = augment(images, ALL, SEED).numpy()
    tf.random.set_seed(5)
    np.testing.assert_array_equal(augment(images, ALL, SEED).numpy(), first)
    other = augment(images, ALL, tf.constant([3, 5], tf.int64)).numpy()
    assert np.abs(first - other).max() > 1


def test_no_change_leaves_the_images_alone():
    images = tf.constant(IMAGES)
    assert augment(images, AugmentationSection(), SEED) is images


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "wrap"])
def test_pixels_stay_in_range(mode):
    section = ALL.model_copy(update={"fill_mode": mode, "fill_value": 255.0})
    changed = augment(tf.constant(IMAGES), section, SEED).numpy()
    assert changed.dtype == np.float32
    assert changed.shape == IMAGES.shape
    assert 0 <= changed.min() <= changed.max() <= 255


def test_shifts_are_spread_evenly_over_their_range():
    # The ramp's value at the middle column says how far each image was shifted.
    ramp = np.tile(np.arange(101, dtype=np.float32)[None, None, :, None], (4000, 1, 1, 1))
    section = AugmentationSection(shift_fraction=0.2, fill_mode="nearest")
    shifts = 50 - augment(tf.constant(ramp), section, SEED).numpy()[:, 0, 50, 0]
    limit = 0.2 * 101
    assert np.abs(shifts).max() <= limit
    quarters = np.histogram(shifts, 4, (-limit, limit))[0] / 4000
    np.testing.assert_allclose(quarters, 0.25, atol=0.03)


def test_rotations_keep_to_their_range():
    # A dot right of the centre moves along a circle; its angle is the rotation.
    images = np.zeros((500, 41, 41, 1), np.float32)
    images[:, 20, 36] = 255
    section = AugmentationSection(rotation_degrees=30)
    turned = augment(tf.constant(images), section, SEED).numpy()[..., 0]
    rows, columns = np.mgrid[:41, :41] - 20
    weight = turned.sum(axis=(1, 2))
    x, y = ((turned * place).sum(axis=(1, 2)) / weight for place in (columns, rows))
    degrees = np.degrees(np.arctan2(-y, x))
    assert 28 < degrees.max() <= 31
    assert -31 <= degrees.min() < -28
