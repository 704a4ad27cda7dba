"""Pictures of images that were found alike."""

import numpy as np

from pipeline.config.data_checks import ChecksSection
from pipeline.data.quality import run_checks, thumbnails

FOUR = [0, 1] * 10


def conflicts(labelled, count, channels=1):
    """As many training images that stand under the other class in training too."""
    train = labelled(FOUR * 3, channels)
    train.images[20 : 20 + count] = train.images[1 : 1 + count]
    return train


def test_both_images_of_a_pair_are_kept_as_they_are(examined, labelled, tmp_path):
    train, test = labelled(FOUR, 3), labelled(FOUR, 3)
    test.images[4] = train.images[9]
    run_checks.write(tmp_path, examined(train=train, validation=labelled(FOUR, 3), test=test))
    found = thumbnails.read(tmp_path)
    assert sorted(found) == [9, 44]
    for image in found.values():
        np.testing.assert_array_equal(image, train.images[9])


def test_findings_take_turns_until_there_are_enough_pairs(examined, labelled, tmp_path):
    train, test = conflicts(labelled, 12), labelled(FOUR)
    test.images[:] = train.images[40:]
    checks = ChecksSection(least_images=1, drop_leaks=False)
    run_checks.write(tmp_path, examined(checks, train=train, validation=labelled(FOUR), test=test))
    found = thumbnails.read(tmp_path)
    assert len(found) == 2 * thumbnails.MOST_PAIRS
    assert sorted(found) == [*range(1, 7), *range(20, 26), *range(40, 46), *range(80, 86)]


def test_large_images_are_made_small_in_their_proportions(labelled, examined, tmp_path):
    parts = {split: labelled(FOUR) for split in ("train", "validation", "test")}
    for split, part in parts.items():
        large = np.kron(part.images, np.ones((1, 20, 10, 1), np.uint8))
        parts[split] = type(part)(large, part.labels)
    parts["test"].images[0] = parts["train"].images[0]
    run_checks.write(tmp_path, examined(**parts))
    assert {image.shape for image in thumbnails.read(tmp_path).values()} == {(160, 80, 1)}


def test_what_is_ignored_or_not_there_has_no_pictures(examined, labelled, tmp_path):
    train, test = labelled(FOUR), labelled(FOUR)
    test.images[0] = train.images[0]
    checks = ChecksSection(leakage="ignore", drop_leaks=False)
    run_checks.write(tmp_path, examined(checks, train=train, test=test))
    assert thumbnails.read(tmp_path) == {}
    assert not (tmp_path / thumbnails.FILE_NAME).exists()
