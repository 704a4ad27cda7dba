"""Mixup and CutMix against the papers' arithmetic, done by NumPy one image at a time."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.config.schema import AugmentationSection
from pipeline.data.augmentation import mixup as mixing
from pipeline.data.augmentation.geometric import augment
from pipeline.data.augmentation.mixup import blend, mix, weights_outside
from pipeline.data.augmentation.random import Purpose, beta, permutation
from pipeline.data.batches import BatchPlan, training_batches
from pipeline.data.images.types import LabelledImages

SEED = tf.constant([3, 4], tf.int64)
COUNT, CLASSES = 24, 24
IMAGES = np.random.default_rng(1).integers(0, 256, (COUNT, 12, 10, 3)).astype(np.float32)
TARGETS = np.eye(CLASSES, dtype=np.float32)
MIXUP = AugmentationSection(mixup_alpha=0.4)
CUTMIX = AugmentationSection(cutmix_alpha=1.0)
BOTH = AugmentationSection(mixup_alpha=1.0, cutmix_alpha=1.0, mixing_probability=0.8)
EACH = [pytest.param(s, id=n) for n, s in (("mixup", MIXUP), ("cutmix", CUTMIX), ("both", BOTH))]


def mixed(section, images=IMAGES, targets=TARGETS, seed=SEED):
    found = mix(tf.constant(images), tf.constant(targets), section, seed)
    return [tensor.numpy() for tensor in found]


def of_one_level(count):
    """Images that are all of one value, each of its own: 0 to 255."""
    levels = np.linspace(0, 255, count, dtype=np.float32)
    return np.broadcast_to(levels[:, None, None, None], (count, 16, 12, 1)).copy()


def from_fixed(monkeypatch, partners, kept, uniforms):
    """Makes the draws what the test says."""
    monkeypatch.setattr(mixing, "permutation", lambda *_: tf.constant(partners))
    monkeypatch.setattr(mixing, "beta", lambda *_: tf.constant(kept, tf.float32))
    monkeypatch.setattr(mixing, "uniform", lambda *_: tf.constant(uniforms, tf.float32))


def test_mixup_is_the_papers_sum_for_images_and_labels(monkeypatch):
    kept = np.array([0.9, 0.25, 0.5, 1.0], np.float32)
    partners = [2, 0, 1, 0]
    from_fixed(monkeypatch, partners, kept, np.zeros((4, 4)))
    images, targets = mixed(MIXUP, IMAGES[:4], TARGETS[:4])
    for i, (share, other) in enumerate(zip(kept, partners, strict=True)):
        by_hand = share * IMAGES[i] + (1 - share) * IMAGES[other]
        np.testing.assert_allclose(images[i], by_hand, atol=1e-3)
        by_hand = share * TARGETS[i] + (1 - share) * TARGETS[other]
        np.testing.assert_allclose(targets[i], by_hand, atol=1e-6)


def test_cutmix_pastes_a_rectangle_and_counts_what_lies_within_the_image(monkeypatch):
    # Of 12 by 10 pixels: sides 12·√0.25 = 6 and 10·√0.25 = 5; around row 6 and column 5 they cover
    # rows 3 to 8 and columns 3 to 7, around row 0 and column 9 rows 0 to 2 and columns 7 to 9.
    down, across = [0.5, 0.0], [0.5, 0.95]
    from_fixed(monkeypatch, [1, 0], [0.75, 0.75], [[0, 0], [0, 0], down, across])
    images, targets = mixed(CUTMIX, IMAGES[:2], TARGETS[:2])
    first, second = IMAGES[0].copy(), IMAGES[1].copy()
    first[3:9, 3:8] = IMAGES[1, 3:9, 3:8]
    second[0:3, 7:10] = IMAGES[0, 0:3, 7:10]
    np.testing.assert_array_equal(images, [first, second])
    np.testing.assert_allclose(targets[0, :2], [90 / 120, 30 / 120], atol=1e-6)
    np.testing.assert_allclose(targets[1, :2], [9 / 120, 111 / 120], atol=1e-6)


@settings(max_examples=60)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kept=st.floats(0, 1, width=32),
    down=st.floats(0, 1, width=32, exclude_max=True),
    across=st.floats(0, 1, width=32, exclude_max=True),
)
def test_any_rectangle_covers_the_pixels_that_numpy_counts(height, width, kept, down, across):
    centre = [tf.constant([place], tf.float32) for place in (down, across)]
    found = weights_outside((height, width), tf.constant([kept]), centre).numpy()[0, ..., 0]
    scale = np.sqrt(np.float32(1) - np.float32(kept))
    expected = np.ones((height, width), np.float32)
    bounds = []
    for size, place in ((height, down), (width, across)):
        side = int(np.rint(np.float32(size) * scale))
        start = int(np.float32(place) * np.float32(size)) - side // 2
        bounds.append(slice(max(0, start), max(0, min(size, start + side))))
    expected[tuple(bounds)] = 0
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4))
def test_a_blend_lies_between_its_two_images(weights):
    each = np.array(weights, np.float32)[:, None, None, None]
    partners = [3, 2, 0, 1]
    found = blend(tf.constant(IMAGES[:4]), tf.constant(partners), tf.constant(each)).numpy()
    low = np.minimum(IMAGES[:4], IMAGES[partners])
    high = np.maximum(IMAGES[:4], IMAGES[partners])
    assert (low - 1e-4 <= found).all()
    assert (found <= high + 1e-4).all()


@pytest.mark.parametrize("section", EACH)
def test_shares_are_shares_and_pixels_stay_in_range(section):
    images, targets = mixed(section)
    assert images.dtype == targets.dtype == np.float32
    assert images.shape == IMAGES.shape
    assert 0 <= images.min() <= images.max() <= 255
    assert 0 <= targets.min() <= targets.max() <= 1
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert (np.count_nonzero(targets, axis=1) <= 2).all()
    assert (np.count_nonzero(targets, axis=1) == 2).any()


@pytest.mark.parametrize("section", EACH)
@settings(max_examples=15)
@given(seed=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)))
def test_labels_mix_by_the_same_share_as_pixels(section, seed):
    images = of_one_level(COUNT)
    changed, targets = mixed(section, images, seed=tf.constant(seed, tf.int64))
    means = changed.mean(axis=(1, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(means, targets @ images[:, 0, 0, 0], atol=1e-2)


@pytest.mark.parametrize("section", EACH)
def test_the_seed_alone_decides(section):
    first = mixed(section)
    tf.random.set_seed(5)
    for one, two in zip(first, mixed(section), strict=True):
        np.testing.assert_array_equal(one, two)
    other = mixed(section, seed=tf.constant([3, 5], tf.int64))
    assert np.abs(first[0] - other[0]).max() > 1
    assert np.abs(first[1] - other[1]).max() > 1e-2


OFF = [{}, {"mixing_probability": 0.5}, {"mixup_alpha": 0.4, "mixing_probability": 0.0}]


@pytest.mark.parametrize("options", OFF)
def test_where_mixing_is_off_nothing_changes(options):
    images, targets = tf.constant(IMAGES), tf.constant(TARGETS)
    section = AugmentationSection(**options)
    assert not section.is_enabled
    assert mix(images, targets, section, SEED) == (images, targets)


def test_a_batch_of_one_has_no_one_to_mix_with():
    images, targets = mixed(BOTH, IMAGES[:1], TARGETS[:1])
    np.testing.assert_allclose(images, IMAGES[:1], atol=1e-4)
    np.testing.assert_allclose(targets, TARGETS[:1], atol=1e-6)


@pytest.mark.parametrize(("mixup", "cutmix", "cut"), [(0, 1, 1.0), (5, 0, 0.0), (5, 1, 0.25)])
def test_as_many_are_cut_and_as_many_blended_as_asked_for(mixup, cutmix, cut):
    section = AugmentationSection(
        mixup_alpha=mixup, cutmix_alpha=cutmix, mixing_probability=0.7, cutmix_share=0.25
    )
    count = 4000
    images = np.zeros((count, 8, 8, 1), np.float32)
    images[1::2] = 255
    changed, targets = mixed(section, images, np.eye(2, dtype=np.float32)[np.arange(count) % 2])
    is_mixed = targets.min(axis=1) > 1e-6
    is_grey = ((changed > 1) & (changed < 254)).any(axis=(1, 2, 3))
    # Half of all partners are of the other level; a few rectangles are empty or hide all.
    assert is_mixed.mean() == pytest.approx(0.35, abs=0.05)
    assert is_grey[is_mixed].mean() == pytest.approx(1 - cut, abs=0.04)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_are_distributed_as_beta(alpha):
    drawn = beta(SEED, Purpose.MIXING_SHARE, tf.fill([20000], alpha)).numpy()
    bounds = np.linspace(0, 1, 11)
    found = np.histogram(drawn, bounds)[0] / len(drawn)
    np.testing.assert_allclose(found, np.diff(stats.beta(alpha, alpha).cdf(bounds)), atol=0.012)


@pytest.mark.parametrize("alpha", [0.0, 1e-30, 1e-3, 100.0])
def test_shares_of_any_alpha_are_numbers_from_0_to_1(alpha):
    drawn = beta(SEED, Purpose.MIXING_SHARE, tf.fill([20000], alpha)).numpy()
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)


def test_partners_are_each_image_once():
    partners = permutation(SEED, Purpose.MIXING_PARTNER, 50).numpy()
    assert sorted(partners) == list(range(50))
    assert (partners != np.arange(50)).sum() > 40


DATA = LabelledImages(IMAGES.astype(np.uint8), np.arange(COUNT) % 5)
MOVED = {"rotation_degrees": 20.0, "erasing_probability": 0.5, "noise_stddev": 20.0}


def batches(section, epochs=3, data=DATA):
    plan = BatchPlan(5, 10, seed=9, epochs=epochs)
    return list(training_batches(data, section, plan).as_numpy_iterator())


def test_each_way_to_mix_gives_in_a_graph_what_eager_gives():
    sections = {case.id: case.values[0] for case in EACH}

    each = [tf.TensorSpec([None, *array.shape[1:]]) for array in (IMAGES, TARGETS)]

    @tf.function(input_signature=each, autograph=False)
    def in_graph(images, targets):
        return {name: mix(images, targets, section, SEED) for name, section in sections.items()}

    for name, found in in_graph(IMAGES, TARGETS).items():
        for one, two in zip(found, mixed(sections[name]), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-3, err_msg=name)


@pytest.fixture(scope="module")
def plain():
    """Batches as they are without any change."""
    return batches(AugmentationSection())


def test_training_batches_hold_what_eager_gives_after_all_other_changes(plain):
    section = BOTH.model_copy(update=MOVED)
    found = batches(section)
    for place, (images, targets) in enumerate(found):
        epoch, start = divmod(place, 3)
        seed = tf.random.fold_in([9, epoch], tf.constant(10 * start, tf.int64), alg="philox")
        changed = augment(tf.constant(plain[place][0]), section, seed)
        expected = mix(changed, tf.constant(plain[place][1]), section, seed)
        np.testing.assert_allclose(images, expected[0], atol=1e-3)
        np.testing.assert_allclose(targets, expected[1], atol=1e-6)
    differences = [np.abs(b[1] - a[1]).max() for a, b in zip(plain, found, strict=True)]
    assert max(differences) > 0.1


def test_the_same_images_are_mixed_otherwise_in_each_epoch_and_place():
    same = LabelledImages(np.repeat(of_one_level(2).astype(np.uint8), 10, 0), np.arange(20) // 10)
    found = [images.tobytes() for images, _ in batches(MIXUP, epochs=2, data=same)]
    assert len(set(found)) == 4


def test_without_mixing_no_change_alters_a_label_and_mixing_alters_no_other_draw(plain):
    moved = AugmentationSection(**MOVED)
    changed = batches(moved)
    for (_, before), (_, after) in zip(plain, changed, strict=True):
        np.testing.assert_array_equal(before, after)
    barely = moved.model_copy(update={"mixup_alpha": 1.0, "mixing_probability": 1e-12})
    for (before, _), (after, _) in zip(changed, batches(barely), strict=True):
        np.testing.assert_array_equal(before, after)
