"""Handwriting on paper against NumPy, SciPy and values worked by hand."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from pipeline.config.augmentation import AugmentationSection, PaperSection
from pipeline.data.augmentation import paper
from pipeline.data.augmentation.geometric import augment, move
from pipeline.data.augmentation.photometric import change_values
from pipeline.data.augmentation.random_erasing import erase

SEED = tf.constant([3, 4], tf.int64)
BLANK = np.zeros((600, 20, 28, 1), np.float32)
STILL = {
    "stroke_width": 0.0,
    "stray_probability": 0.0,
    "neighbour_probability": 0.0,
    "line_probability": 0.0,
    "fading_probability": 0.0,
    "ground_contrast": 0.0,
}
ALL = dict.fromkeys(STILL, 1.0) | {"probability": 1.0}


def only(**options):
    """Of all that may come to an image, the given alone, and the tone."""
    return PaperSection(**{"probability": 1.0, **STILL, **options})


def on_paper(images, section):
    return paper.put_on_paper(tf.constant(images, tf.float32), section, SEED).numpy()


def strokes(count=40, size=(28, 28), channels=1):
    """An upright bar, five pixels wide and alike in all channels, on nothing."""
    images = np.zeros((count, *size, channels), np.float32)
    height, width = size
    images[:, height // 5 : height - height // 5, width // 2 - 2 : width // 2 + 3] = 255
    return images


@pytest.mark.parametrize("options", [{}, {"line_probability": 1.0}, {"ground": "light"}])
def test_without_a_probability_images_stay_as_they_are(options):
    section = AugmentationSection(paper=PaperSection(**options))
    images = tf.constant(strokes())
    assert not section.is_enabled
    assert augment(images, section, SEED) is images


def test_paper_alone_turns_augmentation_on():
    assert AugmentationSection(paper=PaperSection(probability=0.1)).is_enabled


def test_it_comes_after_moves_and_before_values_and_the_contrast_is_stretched_last():
    section = AugmentationSection(
        rotation_degrees=20, noise_stddev=20, erasing_probability=0.5, paper=PaperSection(**ALL)
    )
    images = move(tf.constant(strokes()), section, SEED)
    images = change_values(paper.put_on_paper(images, section.paper, SEED), section, SEED)
    expected = paper.stretch(erase(images, section, SEED), section.paper)
    found = augment(tf.constant(strokes()), section, SEED)
    np.testing.assert_array_equal(found, expected)


def test_each_image_is_chosen_by_the_probability_and_the_others_stay():
    images = strokes(2000, (9, 9))
    found = on_paper(images, PaperSection(probability=0.3))
    changed = (found != images).any(axis=(1, 2, 3))
    assert abs(changed.mean() - 0.3) < 0.04
    assert (on_paper(images, PaperSection(**ALL)) != images).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 1), (28, 28, 1), (13, 40, 3), (64, 50, 1)])
def test_images_of_any_size_stay_within_the_range(shape):
    images = np.random.default_rng(0).uniform(0, 255, (5, *shape)).astype(np.float32)
    for section in (PaperSection(**ALL), PaperSection(**ALL, ground="light")):
        found = augment(tf.constant(images), AugmentationSection(paper=section), SEED).numpy()
        assert found.shape == images.shape
        assert 0 <= found.min() <= found.max() <= 255


def test_light_ground_is_dark_ground_turned():
    images = np.random.default_rng(0).uniform(0, 255, (30, 28, 28, 1)).astype(np.float32)
    dark, light = (
        AugmentationSection(paper=PaperSection(**ALL, ground=ground))
        for ground in ("dark", "light")
    )
    expected = 255 - augment(tf.constant(images), dark, SEED)
    np.testing.assert_allclose(augment(255 - images, light, SEED), expected, atol=1e-2)


def test_all_channels_change_alike():
    section = PaperSection(**ALL)
    grey, colour = (on_paper(strokes(20, channels=count), section) for count in (1, 3))
    np.testing.assert_allclose(colour, np.repeat(grey, 3, axis=3), atol=1e-3)


def stretched(image):
    """What `docs/preparation.md` ends with, of one image."""
    values = np.sort(image.ravel().astype(float))
    low, high = values[len(values) * 40 // 100], values[len(values) * 98 // 100]
    return np.clip((image - low) * 255 / max(16, high - low), 0, 255)


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (9, 12, 3)])
def test_the_contrast_is_stretched_as_numpy_does_it(shape):
    images = np.random.default_rng(0).normal(120, 30, (6, *shape)).clip(0, 255).astype(np.float32)
    images[0] = 90  # even ground stays without ink
    images[1] = np.linspace(100, 108, images[1].size).reshape(shape)  # fainter than FAINT
    dark, light = (PaperSection(ground=ground) for ground in ("dark", "light"))
    found, in_graph = (
        stretch(tf.constant(images), dark).numpy()
        for stretch in (paper.stretch, tf.function(paper.stretch, autograph=False))
    )
    turned = paper.stretch(tf.constant(255 - images), light).numpy()
    expected = [stretched(image) for image in images]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(in_graph, expected, atol=1e-3)
    np.testing.assert_allclose(turned, 255 - np.array(expected), atol=2e-3)
    assert found[0].max() == 0


def widths(ink, share, most=1.0):
    return paper.stroke_widths(
        tf.constant(ink[None, ..., None], tf.float32), tf.constant([share]), most
    )


def test_strokes_grow_and_shrink_as_scipys_morphology_does():
    ink = np.random.default_rng(0).uniform(0, 1, (9, 11))
    cross = ndimage.generate_binary_structure(2, 1)
    square, round_ = (
        ndimage.grey_dilation(ink, **kind) for kind in ({"size": (3, 3)}, {"footprint": cross})
    )
    less = ndimage.grey_erosion(ink, size=(2, 2), origin=(-1, -1), mode="constant", cval=1.0)
    for share, most, expected in (
        (1.0, 1.0, 0.6 * square + 0.4 * round_),
        (0.0, 1.0, less),
        (0.5, 1.0, ink),
        (0.25, 0.5, 0.75 * ink + 0.25 * less),
    ):
        found = widths(ink, share, most)[0, ..., 0]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_dot_grows_to_a_round_one_and_vanishes():
    dot = np.pad([[1.0]], 2)
    grown = [[0.6, 1, 0.6], [1, 1, 1], [0.6, 1, 0.6]]
    np.testing.assert_allclose(widths(dot, 1.0)[0, ..., 0], np.pad(grown, 1), atol=1e-6)
    assert np.max(widths(dot, 0.0)) == 0


def test_strokes_grow_about_as_often_as_they_shrink():
    area = (on_paper(strokes(600), only(stroke_width=1.0)) > 1).sum(axis=(1, 2, 3))
    before = (strokes(1) > 1).sum()
    assert abs((area > before).mean() - 0.5) < 0.06


def test_a_segment_is_inked_where_its_middle_line_is_near():
    generator = np.random.default_rng(0)
    y, x, angle, length, width = (
        generator.uniform(*ends, 8).astype(np.float32)
        for ends in ((0, 15), (0, 20), (0, 7), (0, 12), (0, 4))
    )
    found = paper.segments((15, 20), (y, x), angle, length, width).numpy()[..., 0]
    points = np.stack(np.mgrid[:15, :20], axis=-1)
    for number, ink in enumerate(found):
        along = np.linspace(-length[number] / 2, length[number] / 2, 2001)[:, None]
        line = [y[number], x[number]] + along * [np.sin(angle[number]), np.cos(angle[number])]
        distance = np.linalg.norm(points[:, :, None] - line, axis=-1).min(axis=-1)
        expected = np.clip(width[number] / 2 + 0.5 - distance, 0, 1)
        np.testing.assert_allclose(ink, expected, atol=0.01)


@pytest.mark.parametrize("name", ["stray", "line", "fading"])
def test_what_may_come_to_an_image_comes_as_often_as_it_should(name):
    images = strokes(600) if name == "fading" else BLANK
    found = on_paper(images, only(**{f"{name}_probability": 0.3}))
    changed = (np.abs(found - on_paper(images, only())) > 1).any(axis=(1, 2, 3))
    assert abs(changed.mean() - 0.3) < 0.06


def test_a_stray_stroke_is_short():
    for image in on_paper(BLANK, only(stray_probability=1.0))[..., 0]:
        rows, columns = (np.flatnonzero((image > 0).any(axis=axis)) for axis in (1, 0))
        # At most 10/28 long and 2.4/28 wide of 20 pixels, and a pixel for its soft edge.
        assert 1 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 7.15 + 1.72 + 2


def test_ruled_lines_go_from_side_to_side_and_two_of_three_are_level():
    found = on_paper(BLANK, only(line_probability=1.0))[..., 0] > 0
    level, upright = found.any(axis=1).all(axis=1), found.any(axis=2).all(axis=1)
    # One at a corner leaves the image early.
    assert (level | upright).mean() > 0.85
    assert 0.55 < level.mean() < 0.75
    assert found.mean(axis=(1, 2)).max() < 0.3


def beside_full_images(probability):
    """Of each four of 800 images the last is full: to the first it is the third that comes."""
    images = np.zeros((800, 28, 28, 1), np.float32)
    images[3::4] = 255
    found = on_paper(images, only(neighbour_probability=probability))[..., 0] > 0
    return found.reshape(200, 4, 28, 28)[:, :3].swapaxes(0, 1)


def test_the_next_images_come_half_an_image_or_more_from_the_left_the_right_and_above_or_below():
    third, second, first = beside_full_images(1.0)
    assert first.any(axis=(1, 2)).all()
    assert not first[:, :, 14:].any()
    assert second.any(axis=(1, 2)).all()
    assert not second[:, :, :14].any()
    above, below = third[:, :14].any(axis=(1, 2)), third[:, 14:].any(axis=(1, 2))
    assert not (above & below).any()
    assert abs(above.mean() - 0.25) < 0.1
    assert abs(below.mean() - 0.25) < 0.1


def test_neighbours_come_as_often_as_they_should_and_half_as_often_above_or_below():
    third, second, first = beside_full_images(0.4).any(axis=(2, 3)).mean(axis=1)
    assert abs(first - 0.4) < 0.1
    assert abs(second - 0.4) < 0.1
    assert abs(third - 0.2) < 0.1


def test_an_image_alone_in_its_batch_is_beside_itself():
    images = strokes(1)
    plain, found = on_paper(images, only()), on_paper(images, only(neighbour_probability=1.0))
    assert (found >= plain - 1e-3).all()
    assert (found > plain + 1).any()


def test_moves_by_pixels_are_scipys():
    ink = np.random.default_rng(0).uniform(0, 1, (3, 9, 12, 1)).astype(np.float32)
    moves = np.array([[2, -3], [0.5, 4.25], [-1.5, 0]], np.float32)
    found = paper.shifted(tf.constant(ink), moves[:, 0], moves[:, 1]).numpy()
    for image, result, (down, right) in zip(ink, found, moves, strict=True):
        expected = ndimage.shift(image, (down, right, 0), order=1, mode="grid-constant")
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_fading_takes_ink_away_in_places_alone():
    plain = on_paper(strokes(), only())
    faded = on_paper(strokes(), only(fading_probability=1.0))
    left = faded[plain > 0] / plain[plain > 0]
    assert left.max() == pytest.approx(1, abs=1e-5)
    assert 0.6 < left.mean() < 0.95
    assert left.min() < 0.3
    assert not faded[plain == 0].any()


def test_the_tone_keeps_ground_and_the_order_of_half_tones():
    ramp = np.tile(np.linspace(0, 255, 20, dtype=np.float32)[:, None, None], (300, 1, 1, 1))
    found = on_paper(ramp, only())[:, :, 0, 0] / 255
    assert (found[:, 0] == 0).all()
    assert (np.diff(found) > 0).all()
    assert found[:, -1].min() == pytest.approx(0.7, abs=0.01)
    assert found[:, -1].max() == pytest.approx(1, abs=0.01)
    # t x^p has the slope p in logarithms.
    power = np.diff(np.log(found[:, [9, -1]]))[:, 0] / np.log(19 / 9)
    assert power.min() == pytest.approx(np.exp(-0.5), abs=0.02)
    assert power.max() == pytest.approx(np.exp(0.5), abs=0.02)


def test_the_ground_of_paper_is_uneven_and_no_stronger_than_said():
    """Without any: neither shading nor mottle, 0.5 each, nor waves, 0.75."""
    found = on_paper(BLANK, only(ground_contrast=0.2)) / 255
    assert found.max() < 3 * 0.2
    assert abs((found.max(axis=(1, 2, 3)) == 0).mean() - 0.5 * 0.5 * 0.75) < 0.06
    assert np.median(found.max(axis=(1, 2, 3))) > 0.05
    full = np.full_like(BLANK, 255)
    np.testing.assert_allclose(
        on_paper(full, only()) <= on_paper(full, only(ground_contrast=1.0)), 1
    )


def test_patches_have_their_values_at_knots_and_the_mean_of_two_halfway():
    knots = np.random.default_rng(0).uniform(0, 1, (2, 4, 4)).astype(np.float32)
    found = paper.between_knots(tf.constant(knots), (7, 4)).numpy()[..., 0]
    np.testing.assert_allclose(found[:, ::2], knots, atol=1e-6)
    np.testing.assert_allclose(found[:, 1::2], (knots[:, 1:] + knots[:, :-1]) / 2, atol=1e-6)
