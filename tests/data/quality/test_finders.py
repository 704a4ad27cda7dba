"""Each check finds what it is for, with values worked out by hand, and nothing else."""

from math import gamma, pi, sqrt
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.data_checks import REFUSED, ChecksSection
from pipeline.data.decode_files import Refused, SpooledImages
from pipeline.data.images.decoding import Decoding
from pipeline.data.images.types import LabelledImages
from pipeline.data.quality import split_drift

FOUR = [0, 0, 0, 0, 1, 1, 1, 1]


def names(finding):
    return [tuple(f"{e.split} {e.name}" for e in group) for group in finding.examples]


def test_sound_images_are_passed_in_silence(found, labelled):
    assert found(train=labelled(FOUR * 10), test=labelled(FOUR)) == {}


@pytest.mark.parametrize("kind", REFUSED)
def test_each_kind_of_refused_files_is_told_with_its_first(found, labelled, kind):
    refused = tuple(
        Refused("train", f"b/{i}.png", 1, kind, "is not what it seems") for i in range(2)
    )
    (finding,) = found(train=labelled(FOUR), test=labelled(FOUR), refused=refused)[kind]
    assert finding.count == 2
    expected = "2 files left out: b/0.png is not what it seems; and 1 more"
    assert finding.message == expected
    assert names(finding) == [("train b/0.png",), ("train b/1.png",)]
    assert finding.examples[0][0].label == "b"


def test_each_reason_for_leaving_files_out_is_told_once_with_its_own_remedy(found, labelled):
    reasons = ("is a GIF; convert it", "is a GIF; convert it", "is transparent", "is CMYK", "is 1")
    refused = [Refused("train", f"{n}", 0, "unsupported", r) for n, r in enumerate(reasons)]
    given = {"train": labelled(FOUR), "test": labelled(FOUR)}
    (finding,) = found(**given, refused=tuple(refused))["unsupported"]
    assert finding.line == (
        "unsupported: 5 files left out: 0 is a GIF; convert it; 2 is transparent; 3 is CMYK; "
        "and 2 more"
    )
    (finding,) = found(**given, refused=tuple(refused[:1]))["unsupported"]
    assert finding.message == "1 file left out: 0 is a GIF; convert it"


def test_a_kind_of_refused_files_is_ignored_by_itself(found, labelled):
    refused = tuple(Refused("train", "x", 1, kind, "is wrong") for kind in ("empty", "animated"))
    checks = ChecksSection(least_images=1, empty="ignore")
    findings = found(checks=checks, train=labelled(FOUR), test=labelled(FOUR), refused=refused)
    assert list(findings) == ["animated"]


def test_constant_and_nearly_constant_images_are_found(found, labelled):
    train = labelled(FOUR)
    train.images[2] = 77
    train.images[5] = 0
    train.images[5, 0, 0] = 31  # deviation 31 / 16 * sqrt(1 - 1 / 256) = 1.93
    train.images[6] = 0
    train.images[6, 0, 0] = 33  # 2.06
    (finding,) = found(train=train, test=labelled(FOUR))["constant_images"]
    assert finding.count == 2
    assert names(finding) == [("train image 2",), ("train image 5",)]


def test_an_image_of_one_colour_is_constant_and_one_of_two_is_not(found, labelled):
    train = labelled(FOUR, channels=3)
    train.images[0] = [200, 0, 10]
    train.images[1] = [200, 0, 10]
    train.images[1, 8:] = [0, 200, 10]
    (finding,) = found(train=train, test=labelled(FOUR, channels=3))["constant_images"]
    assert names(finding) == [("train image 0",)]


def spooled(tmp_path, images, labels, sizes):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.pixels"
    Path(path).write_bytes(images.tobytes())
    files = np.array([f"{i}.png" for i in range(len(labels))], object)
    positions = np.arange(len(labels))
    shape = images.shape[1:]
    return SpooledImages(path, shape, np.array(labels), positions, files, np.array(sizes, np.int32))


def test_files_far_from_the_median_size_are_found(found, noise, tmp_path):
    sizes = [(100, 200)] * 6 + [(100, 801), (24, 200)]  # 4.005 and 4.17 times off
    train = spooled(tmp_path, noise(8), FOUR, sizes)
    test = spooled(tmp_path, noise(8), FOUR, [(400, 50)] + [(100, 200)] * 7)  # 4 times
    (finding,) = found(train=train, test=test)["size_outliers"]
    assert names(finding) == [("train 6.png",), ("train 7.png",)]
    assert "median of 200×100 pixels" in finding.message


@pytest.mark.parametrize(("size", "is_told"), [((63, 65), True), ((60, 65), False)])
def test_pictures_that_are_blown_up_are_told_of(examined, noise, tmp_path, size, is_told):
    """Height and width asked for, of pictures of 15×2 pixels, smaller 4.2 or 4 times and more."""
    train, test = (spooled(tmp_path, noise(8), FOUR, [(15, 2)] * 8) for _ in range(2))
    findings = examined(train=train, test=test, decoding=Decoding(image_size=size)).findings
    lines = [finding.line for finding in findings if finding.check == "size_outliers"]
    assert len(lines) == is_told
    if is_told:
        assert "in the median 2×15 pixels, and are blown up to 65×63" in lines[0]
        assert lines[0].endswith("look whether data.image_size='[15, 2]' does as well")


def test_colour_images_without_colour_are_told_of(found, labelled):
    grey = labelled(FOUR, channels=3)
    grey.images[:] = grey.images[..., :1]
    also = labelled(FOUR, channels=3)
    also.images[:] = also.images[..., :1]
    assert found(train=grey, test=also)["colour"][0].count == 16
    also.images[3, 0, 0] = [9, 0, 0]
    assert "colour" not in found(train=grey, test=also)


def test_duplicates_are_counted_within_class_and_split(found, labelled):
    train = labelled(FOUR)
    train.images[[1, 3]] = train.images[0]
    train.images[6] = train.images[5]
    (finding,) = found(train=train, test=labelled(FOUR))["duplicates"]
    assert finding.count == 3
    first, second = names(finding)
    assert first == ("train image 0", "train image 1", "train image 3")
    assert second == ("train image 5", "train image 6")


def test_what_was_dropped_is_not_advised_again(found, labelled):
    train = labelled(FOUR)
    train.images[1] = train.images[0]
    (kept,) = found(train=train, test=labelled(FOUR))["duplicates"]
    assert kept.message.endswith("; data.drop_duplicates=true keeps one of them in training")
    given = {"train": train, "test": labelled(FOUR), "drop_duplicates": True}
    (dropped,) = found(**given)["duplicates"]
    assert dropped.message.endswith("; one of each is kept in training")


def test_near_duplicates_are_told_apart_from_equal_ones(found, labelled):
    train = labelled(FOUR)
    train.images[[1, 2]] = train.images[0]
    train.images[2, 0, 0] ^= 8
    findings = found(train=train, test=labelled(FOUR))
    assert findings["duplicates"][0].count == findings["near_duplicates"][0].count == 1
    shown = [("train image 0", "train image 1", "train image 2")]
    assert names(findings["near_duplicates"][0]) == shown


def test_images_under_two_classes_conflict_whatever_their_split(found, labelled):
    train, test = labelled(FOUR), labelled(FOUR)
    train.images[5] = train.images[1]
    train.images[6] = train.images[2]
    train.images[6, 0, 0] ^= 8
    test.images[7] = train.images[0]
    (finding,) = found(train=train, test=test)["label_conflicts"]
    assert finding.count == 3
    assert finding.line.endswith(
        "; none is left out of training for that; correct the labels; the first is "
        "image 0 (train, class 'a') = image 7 (test, class 'b')"
    )
    assert names(finding) == [
        ("train image 0", "test image 7"),
        ("train image 1", "train image 5"),
        ("train image 2", "train image 6"),
    ]


def test_leaks_are_counted_and_left_out_of_what_is_learned_from(examined, labelled):
    train, validation, test = labelled(FOUR), labelled(FOUR), labelled(FOUR)
    test.images[1] = train.images[0]
    test.images[2] = train.images[3]
    test.images[2, 0, 0] ^= 8
    validation.images[4] = train.images[5]
    test.images[6] = validation.images[6]
    result = examined(train=train, validation=validation, test=test)
    leaks = [f for f in result.findings if f.check == "leakage"]
    assert [(leak.count, leak.message.partition(";")[0]) for leak in leaks] == [
        (2, "2 training images in the test split too, equal or nearly so"),
        (1, "1 validation image in the test split too, equal or nearly so"),
        (1, "1 training image in the validation split too, equal or nearly so"),
    ]
    assert names(leaks[0]) == [
        ("train image 0", "test image 1"),
        ("train image 3", "test image 2"),
    ]
    splits = result.material.prepared.splits
    assert splits["train"].numbers.tolist() == [1, 2, 4, 6, 7]
    assert splits["validation"].numbers.tolist() == [8 + i for i in (0, 1, 2, 3, 4, 5, 7)]
    assert len(splits["test"]) == 8


def test_leaks_can_be_kept(examined, labelled):
    train, test = labelled(FOUR), labelled(FOUR)
    test.images[1] = train.images[0]
    checks = ChecksSection(drop_leaks=False, least_images=1)
    result = examined(checks=checks, train=train, validation=labelled(FOUR), test=test)
    (finding,) = result.findings
    assert finding.line.endswith("; it is image 0 (train) = image 1 (test)")
    assert finding.message.endswith("; data.checks.drop_leaks=true leaves them out")
    assert len(result.material.prepared.splits["train"]) == 8


def test_the_validation_split_that_is_drawn_shares_no_image_with_training(examined, labelled):
    train = labelled([0] * 12 + [1] * 12)
    train.images[:] = train.images[[0, 1, 2, 3] * 3 + [12, 13, 14, 15] * 3]
    result = examined(train=train, test=labelled(FOUR))
    parts = result.material.prepared.splits
    assert not set(parts["train"].equal) & set(parts["validation"].equal)
    assert [f.check for f in result.findings] == ["duplicates"]  # the draw is ours, no leak


def test_imbalance_is_the_largest_class_over_the_smallest(found, labelled):
    validation, test = labelled(FOUR), labelled(FOUR)
    checks = ChecksSection(least_images=1, imbalance_ratio=3, drift="ignore")
    given = {"checks": checks, "validation": validation, "test": test}
    (finding,) = found(train=labelled([0] * 10 + [1] * 3), **given)["imbalance"]
    assert "class 'a' has 3 times the training images of 'b' (10 to 3)" in finding.message
    assert "imbalance" not in found(train=labelled([0] * 9 + [1] * 3), **given)


def test_classes_with_few_training_images_are_named(found, labelled):
    given = {"validation": labelled(FOUR), "test": labelled(FOUR)}
    checks = ChecksSection(least_images=5, drift="ignore")
    (finding,) = found(checks=checks, train=labelled([0] * 5 + [1] * 4), **given)["few_images"]
    assert finding.message == "1 class with fewer than 5 training images: 'b' (4); add images"


def test_classes_that_a_split_lacks_are_named(found, labelled):
    checks = ChecksSection(least_images=1, drift="ignore")
    given = {"train": labelled(FOUR), "validation": labelled([0]), "test": labelled([1])}
    (finding,) = found(checks=checks, **given)["missing_classes"]
    assert finding.count == 2
    assert finding.message.startswith("no image of 'b' in validation, 'a' in test; ")


def shifted(generator, count, mean, spread=20):
    """Images each of one brightness, and on it the same stripes."""
    levels = generator.normal(mean, spread, count)[:, None, None, None]
    stripes = np.tile([-5, 5], 8)[None, None, :, None] * np.ones((count, 16, 16, 3))
    noise = generator.normal(0, 5, (count, 16, 16, 3))
    images = np.clip(np.rint(levels + stripes + noise), 0, 255).astype(np.uint8)
    return LabelledImages(images, np.arange(count) % 2)


def test_drift_of_brightness_is_told_in_deviations_of_training(found):
    generator = np.random.default_rng(0)
    given = {
        "train": shifted(generator, 3000, 120),
        "validation": shifted(generator, 3000, 120),
        "test": shifted(generator, 3000, 132),  # 12 / 20 of a deviation
    }
    checks = ChecksSection(near_duplicates="ignore", drop_leaks=False)
    (finding,) = found(checks=checks, **given)["drift"]
    assert finding.count == 3
    words = finding.message.split("by ")
    assert finding.message.startswith("the test split differs from training: red brightness by +0.")
    assert float(words[1].split()[0]) == pytest.approx(0.6, abs=0.1)


def test_chance_alone_is_no_drift(found):
    generator = np.random.default_rng(0)
    parts = {name: shifted(generator, 12, 120) for name in ("train", "validation", "test")}
    checks = ChecksSection(near_duplicates="ignore", drop_leaks=False)
    assert "drift" not in found(checks=checks, **parts)


def test_a_shift_of_means_has_the_error_of_students_test():
    # Means 13 and 20; squares about them 2·9 + 2·1 = 20 and 2·4 = 8; spread √(28 / 5); the
    # deviation of ours is √(20 / 3).
    ours, theirs = np.array([[10.0], [16], [12], [14]]), np.array([[18.0], [20], [22]])
    shifts, errors = split_drift.mean_shifts(ours, theirs)
    unit = np.sqrt(20 / 3)
    assert shifts == pytest.approx([7 / unit])
    assert errors == pytest.approx([np.sqrt(28 / 5) * np.sqrt(1 / 4 + 1 / 3) / unit])


@pytest.mark.parametrize("images", [20, 60])
def test_chance_moves_the_means_of_few_images_further(images):
    freedom = images - 2
    scale = gamma((freedom + 1) / 2) / (sqrt(freedom * pi) * gamma(freedom / 2))
    beyond = split_drift.standard_errors(images) + np.arange(0.0005, 60, 0.001)
    tail = (scale * (1 + beyond**2 / freedom) ** (-(freedom + 1) / 2)).sum() * 0.001
    assert tail == pytest.approx(0.00135, rel=1e-3)  # of a normal one beyond 3
    assert split_drift.standard_errors(10**7) == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize(("images", "is_told"), [(2, False), (9, False), (10, True)])
def test_a_few_images_tell_nothing_of_a_split(found, images, is_told):
    generator = np.random.default_rng(0)
    given = {
        "train": shifted(generator, 40, 60, spread=1),
        "validation": shifted(generator, 40, 60, spread=1),
        "test": shifted(generator, images, 120, spread=1),
    }
    checks = ChecksSection(near_duplicates="ignore", drop_leaks=False)
    assert ("drift" in found(checks=checks, **given)) == is_told


def test_drift_of_classes_is_told_with_both_shares(found, labelled):
    given = {
        "train": labelled([0, 1] * 400),
        "validation": labelled([0, 1] * 200),
        "test": labelled([0, 0, 0, 1] * 200),
    }
    (finding,) = found(**given)["drift"]
    assert finding.count == 2
    assert "class 'a' 50.0% to 75.0%; class 'b' 50.0% to 25.0%" in finding.message


def test_flipped_labels_are_suspected_and_few_others(found):
    generator = np.random.default_rng(0)
    centres = generator.integers(60, 200, (2, 16, 16, 1))
    labels = np.arange(400) % 2
    images = np.clip(centres[labels] + generator.normal(0, 25, (400, 16, 16, 1)), 0, 255)
    flipped = [10, 78, 200]
    told = labels.copy()
    told[flipped] = 1 - told[flipped]
    train = LabelledImages(images.astype(np.uint8), told)
    test = LabelledImages(images[::4].astype(np.uint8) // 2, labels[::4])
    given = {"train": train, "validation": test, "test": test}
    off = ChecksSection(drop_leaks=False)
    assert "suspect_labels" not in found(checks=off, **given)
    on = ChecksSection(suspect_labels="warn", drop_leaks=False)
    (finding,) = found(checks=on, **given)["suspect_labels"]
    assert {group[0] for group in names(finding)} == {f"train image {i}" for i in flipped}
    assert "is labelled 'b' and looks like 'a'" in finding.message
