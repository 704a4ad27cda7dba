import numpy as np
import pytest

from pipeline.config.data_checks import ChecksSection
from pipeline.config.schema import DataSection
from pipeline.core.errors import DataError
from pipeline.data.decode_files import Gathered
from pipeline.data.images.types import DrawnTest, LabelledImages
from pipeline.data.make_splits import prepare, survey

SCENES, SHOTS = 20, 10


@pytest.fixture
def bursts():
    """Ten noisy shots of each of twenty scenes, half of them of each class, well mixed."""
    generator = np.random.default_rng(0)
    scenes = generator.integers(0, 250, (SCENES, 16, 16, 1)).repeat(SHOTS, axis=0)
    images = np.clip(scenes + generator.normal(0, 2, scenes.shape), 0, 255).astype(np.uint8)
    order = generator.permutation(len(images))
    scene = np.arange(SCENES).repeat(SHOTS)[order]
    return LabelledImages(images[order], scene % 2), scene


def drawn(data, **options):
    section = DataSection(source="idx", validation_fraction=0.2, **options)
    gathered = Gathered({"train": data}, ("a", "b"), "x", drawn_test=DrawnTest(0.2, 0))
    surveyed = survey(gathered, section, seed=0)
    return prepare(surveyed, section, 0, ("a", "b")), surveyed


def test_like_images_are_drawn_into_one_split_together(bursts):
    data, scene = bursts
    prepared, _ = drawn(data)
    of = {name: set(scene[part.images.positions]) for name, part in prepared.splits.items()}
    assert of["train"] | of["validation"] | of["test"] == set(range(SCENES))
    assert len(of["train"]) + len(of["validation"]) + len(of["test"]) == SCENES
    sizes = {name: len(part) for name, part in prepared.splits.items()}
    assert sizes == {"train": 130, "validation": 30, "test": 40}
    assert prepared.cleaning == {}


def test_drawn_splits_are_numbered_anew_and_keep_who_is_like_whom(bursts):
    data, scene = bursts
    _, surveyed = drawn(data)
    numbers = np.concatenate([part.numbers for part in surveyed.values()])
    alike = np.concatenate([part.alike for part in surveyed.values()])
    scenes = scene[np.concatenate([part.images.positions for part in surveyed.values()])]
    assert numbers.tolist() == list(range(SCENES * SHOTS))
    firsts = np.array([np.flatnonzero(scenes == value)[0] for value in scenes])
    assert alike.tolist() == firsts.tolist()


def test_limits_count_what_is_left_after_the_draw(bursts):
    prepared, _ = drawn(bursts[0], train_limit=50, test_limit=10)
    assert len(prepared.splits["test"]) == 10
    assert len(prepared.splits["train"]) + len(prepared.splits["validation"]) == 50


def test_images_of_each_class_are_counted_before_validation_is_drawn(bursts):
    splits = drawn(bursts[0], train_per_class=9)[0].splits
    both = np.concatenate([splits[name].labels for name in ("train", "validation")])
    assert set(np.bincount(both).tolist()) == {9}


def test_a_class_of_like_images_alone_cannot_be_split(bursts):
    data, scene = bursts
    one = data.select(np.flatnonzero((scene % 2 == 0) | (scene == 1)))
    with pytest.raises(DataError, match="every image of class 'b' is in validation or test too"):
        drawn(one)
    prepared, _ = drawn(one, checks=ChecksSection(drop_leaks=False))
    assert all((part.labels == 1).any() for part in prepared.splits.values())


def test_images_that_are_like_no_other_are_drawn_as_they_always_were():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    prepared, _ = drawn(LabelledImages(images, np.arange(60) % 2))
    assert {name: len(part) for name, part in prepared.splits.items()} == {
        "train": 38, "validation": 10, "test": 12,
    }  # fmt: skip
    assert all(abs(np.diff(np.bincount(p.labels))[0]) == 0 for p in prepared.splits.values())
