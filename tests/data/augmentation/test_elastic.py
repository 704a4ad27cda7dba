"""Elastic deformation against SciPy, and its sampling against that of the affine map."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation.elastic import random_field, sample, smooth, warp
from pipeline.data.augmentation.geometric import inverse_affine, transform

SEED = tf.constant([3, 4], tf.int64)
RANDOM = np.random.default_rng(4)
IMAGES = RANDOM.integers(0, 256, (2, 9, 7, 3)).astype(np.float32)
SCIPY = {
    "constant": "grid-constant",
    "nearest": "nearest",
    "reflect": "reflect",
    "wrap": "grid-wrap",
}


def maps(rotation=0.0, shift=(0.0, 0.0), zoom=1.0, shear=0.0):
    same = [tf.fill([len(IMAGES)], float(v)) for v in (rotation, *shift, zoom, shear)]
    return inverse_affine(
        (9, 7), rotation=same[0], shift=(same[1], same[2]), zoom=same[3], shear=same[4]
    )


def everywhere(x, y):
    return tf.tile(tf.constant([x, y])[None, :, None, None], (2, 1, 9, 7))


@pytest.mark.parametrize("sigma", [1.0, 2.5, 6.0])
def test_noise_is_smoothed_as_scipy_does(sigma):
    noise = RANDOM.uniform(-1, 1, (2, 2, 15, 10)).astype(np.float32)
    expected = ndimage.gaussian_filter(
        noise.astype(float), (0, 0, sigma, sigma), mode="constant", truncate=10
    )
    np.testing.assert_allclose(smooth(tf.constant(noise), sigma), expected, atol=1e-5)


def test_the_field_is_as_wide_as_alpha_says():
    # Smoothed uniform noise has the deviation alpha / √3 / (2 sigma √π) away from the edges.
    section = AugmentationSection(elastic_alpha=34.0, elastic_sigma=3.0)
    field = random_field(tf.zeros((60, 40, 40, 1)), section, SEED).numpy()
    assert field.shape == (60, 2, 40, 40)
    inner = field[:, :, 10:-10, 10:-10]
    np.testing.assert_allclose(inner.std(axis=(0, 2, 3)), 34 / 3**0.5 / (6 * np.pi**0.5), rtol=0.1)
    assert abs(inner.mean()) < 0.3  # about three standard errors


@pytest.mark.parametrize("mode", SCIPY)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), reach=st.floats(0, 30))
def test_any_place_is_read_as_scipy_does(mode, seed, reach):
    random = np.random.default_rng(seed)
    x, y = random.uniform(-reach, 8 + reach, (2, 2, 9, 7)).astype(np.float32)
    section = AugmentationSection(fill_mode=mode, fill_value=40)
    found = sample(tf.constant(IMAGES), tf.constant(x), tf.constant(y), section).numpy()
    for image, result, columns, rows in zip(IMAGES, found, x, y, strict=True):
        for channel in range(3):
            expected = ndimage.map_coordinates(
                image[..., channel], (rows, columns), order=1, mode=SCIPY[mode], cval=40
            )
            np.testing.assert_allclose(result[..., channel], expected, atol=0.02)


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect"])
def test_a_field_of_zeros_leaves_what_the_affine_map_gives(mode):
    section = AugmentationSection(fill_mode=mode, fill_value=9)
    matrices = maps(rotation=0.5, shift=(1.3, -2.2), zoom=0.8, shear=0.2)
    expected = transform(tf.constant(IMAGES), matrices, section)
    found = warp(tf.constant(IMAGES), matrices, tf.zeros((2, 2, 9, 7)), section)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_field_of_whole_pixels_is_exact():
    field = everywhere(2.0, -1.0)
    found = warp(tf.constant(IMAGES), maps(), field, AugmentationSection()).numpy()
    expected = np.zeros_like(IMAGES)
    expected[:, 1:, :-2] = IMAGES[:, :-1, 2:]
    np.testing.assert_array_equal(found, expected)


def test_the_field_moves_within_the_affine_map():
    # Zoom 2 about (4, 3): the pixel at x = 5, displaced by 1, shows 3 + (5 + 1 - 3) / 2.
    field = everywhere(1.0, 0.0)
    ramp = np.tile(np.arange(7, dtype=np.float32)[None, None, :, None], (2, 9, 1, 1))
    found = warp(tf.constant(ramp), maps(zoom=2.0), field, AugmentationSection()).numpy()
    assert found[0, 4, 5, 0] == 4.5
