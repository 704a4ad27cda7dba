"""Changes of values and random erasing against NumPy, SciPy and values worked by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation import photometric, random_erasing

SEED = tf.constant([3, 4], tf.int64)
IMAGES = np.random.default_rng(2).integers(0, 256, (3, 11, 8, 3)).astype(np.float32)


def modes(function, *arguments):
    """What the function gives in eager, and inside tf.data; both must agree."""
    tensors = [tf.constant(argument) for argument in arguments]
    eager = function(*tensors).numpy()
    batches = tf.data.Dataset.from_tensors(tuple(tensors)).map(function)
    np.testing.assert_allclose(next(batches.as_numpy_iterator()), eager, rtol=1e-5)
    return eager


def test_invert_turns_chosen_images_alone():
    found = modes(photometric.invert, IMAGES, [True, False, True])
    np.testing.assert_array_equal(found[1], IMAGES[1])
    np.testing.assert_array_equal(found[::2], 255 - IMAGES[::2])


def test_invert_twice_is_the_identity():
    chosen = tf.constant([True, False, True])
    twice = photometric.invert(photometric.invert(tf.constant(IMAGES), chosen), chosen)
    np.testing.assert_array_equal(twice, IMAGES)


def test_contrast_moves_values_from_the_mean_of_their_channel():
    factors = np.array([0.0, 1.0, 1.6], np.float32)
    found = modes(photometric.contrast, IMAGES, factors)
    mean = IMAGES.astype(float).mean(axis=(1, 2), keepdims=True)
    expected = mean + factors[:, None, None, None] * (IMAGES - mean)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_brightness_adds_grey_levels():
    found = modes(photometric.brightness, IMAGES, np.array([0, -30, 12.5], np.float32))
    for image, result, added in zip(IMAGES, found, (0, -30, 12.5), strict=True):
        np.testing.assert_array_equal(result, image + added)


@settings(max_examples=20, deadline=None)
@given(sigmas=st.tuples(*[st.floats(0.3, 6)] * 3))
def test_a_blur_is_scipys_with_no_weight_beyond_the_edge(sigmas):
    found = photometric.blur(tf.constant(IMAGES), tf.constant(sigmas, tf.float32)).numpy()
    for image, result, sigma in zip(IMAGES, found, sigmas, strict=True):
        options = {"sigma": (sigma, sigma, 0), "mode": "constant", "truncate": 60 / sigma}
        weight = ndimage.gaussian_filter(np.ones_like(image, float), **options)
        expected = ndimage.gaussian_filter(image.astype(float), **options) / weight
        np.testing.assert_allclose(result, expected, atol=0.01)


def test_a_blur_of_nothing_is_exact_in_every_mode():
    found = modes(photometric.blur, IMAGES, np.zeros(3, np.float32))
    np.testing.assert_array_equal(found, IMAGES)


def test_sigmas_of_a_blur_are_spread_evenly_over_their_range():
    # A dot spreads until its variance along x is sigma².
    dot = np.zeros((800, 1, 31, 1), np.float32)
    dot[:, :, 15] = 255
    section = AugmentationSection(blur_sigma=3.0)
    found = photometric.change_values(tf.constant(dot), section, SEED).numpy()[:, 0, :, 0]
    sigmas = np.sqrt((found * (np.arange(31) - 15) ** 2).sum(axis=1) / found.sum(axis=1))
    quarters = np.histogram(sigmas, 4, (0, 3.01))[0] / 800
    np.testing.assert_allclose(quarters, 0.25, atol=0.05)


def grey(count, level=128.0):
    return tf.fill((count, 40, 40, 1), level)


def test_noise_is_normal_with_a_deviation_drawn_for_each_image():
    section = AugmentationSection(noise_stddev=20.0)
    noise = photometric.change_values(grey(300), section, SEED).numpy() - 128
    stddevs = noise.std(axis=(1, 2, 3))
    assert stats.kstest(stddevs, stats.uniform(0, 20).cdf).pvalue > 0.01
    share = (noise / stddevs[:, None, None, None]).ravel()
    assert abs(share.mean()) < 0.01
    assert abs(np.abs(share).mean() - math.sqrt(2 / math.pi)) < 0.01


def test_brightness_is_spread_evenly_over_its_range():
    section = AugmentationSection(brightness_fraction=0.2)
    added = photometric.change_values(grey(2000), section, SEED).numpy()[:, 0, 0, 0] - 128
    assert stats.kstest(added, stats.uniform(-51, 102).cdf).pvalue > 0.01


def test_contrast_is_spread_evenly_over_its_range():
    ramp = tf.constant(np.tile(np.array([100.0, 150.0], np.float32), (2000, 1))[:, None, :, None])
    section = AugmentationSection(contrast_fraction=0.4)
    found = photometric.change_values(ramp, section, SEED).numpy()
    factors = (found[:, 0, 1, 0] - found[:, 0, 0, 0]) / 50
    assert stats.kstest(factors, stats.uniform(0.6, 0.8).cdf).pvalue > 0.01


def test_values_that_would_leave_the_range_stop_at_its_ends():
    section = AugmentationSection(brightness_fraction=0.99)
    found = photometric.change_values(grey(200), section, SEED).numpy()
    assert found.min() == 0
    assert found.max() == 255


@pytest.mark.parametrize(
    ("area", "aspect", "expected"),
    [
        (0.25, 0.0, (10, 5)),
        (0.25, 1.0, (18, 3)),
        (0.25, -1.0, (5, 9)),
        (1.0, 1.0, (20, 10)),
        (0.5, 1.0, (20, 5)),
        (1e-4, 0.0, (1, 1)),
    ],
)
def test_a_rectangle_has_the_area_and_fits(area, aspect, expected):
    # A quarter of 20 by 10 at its tallest: 20 √(0.25 / 0.3) = 18.3 by 10 √(0.25 · 0.3) = 2.7.
    sides = random_erasing.rectangle((20, 10), tf.constant([area]), tf.constant([aspect]))
    assert [side.numpy().tolist() for side in sides] == [[expected[0]], [expected[1]]]


def test_a_rectangle_covers_its_own_pixels_alone():
    corner = [tf.constant([1.0, 0.0]), tf.constant([2.0, 0.0])]
    sides = (tf.constant([2.0, 1.0]), tf.constant([3.0, 6.0]))
    found = random_erasing.inside((4, 6), corner, sides).numpy()[..., 0]
    expected = np.zeros((2, 4, 6), bool)
    expected[0, 1:3, 2:5] = expected[1, :1, :6] = True
    np.testing.assert_array_equal(found, expected)


def erased(count=3000, **options):
    section = AugmentationSection(erasing_fill="constant", fill_value=7.0, **options)
    return random_erasing.erase(tf.fill((count, 20, 20, 2), 200.0), section, SEED).numpy() == 7


def test_erasing_hides_one_rectangle_in_all_channels():
    for hidden in erased(count=100, erasing_probability=1.0):
        rows, columns = (np.flatnonzero(hidden[..., 0].any(axis=axis)) for axis in (1, 0))
        box = np.zeros((20, 20, 1), bool)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(hidden, np.repeat(box, 2, axis=2))


def test_erasing_comes_as_often_and_as_large_as_it_should():
    shares = erased(erasing_probability=0.4, erasing_area=(0.1, 0.3)).mean(axis=(1, 2, 3))
    assert abs((shares > 0).mean() - 0.4) < 0.03
    assert abs(shares[shares > 0].mean() - 0.2) < 0.01
    assert 0.08 < shares[shares > 0].min() < 0.12
    assert 0.28 < shares.max() < 0.33


def test_rectangles_lie_anywhere_alike():
    cover = erased(erasing_probability=1.0, erasing_area=(0.01, 0.01))[..., 0].mean(axis=0)
    np.testing.assert_allclose(cover, cover[::-1, ::-1], atol=0.015)
    assert cover.min() > 0.0005


def test_erasing_noise_is_spread_evenly_and_leaves_the_rest_alone():
    section = AugmentationSection(erasing_probability=1.0, erasing_area=(0.3, 0.3))
    found = random_erasing.erase(tf.fill((50, 20, 20, 1), 300.0), section, SEED).numpy()
    hidden = found[found != 300]
    assert abs(len(hidden) / found.size - 0.3) < 0.02
    assert stats.kstest(hidden, stats.uniform(0, 255).cdf).pvalue > 0.01
