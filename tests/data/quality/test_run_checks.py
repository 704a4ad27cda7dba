"""Levels, what is written, and a set with known defects of every kind."""

import csv
import json

import numpy as np
import pytest

from pipeline.config.data_checks import CHECKS, REFUSED, ChecksSection
from pipeline.core.errors import DataError
from pipeline.data.decode_files import Refused, SpooledImages
from pipeline.data.quality import run_checks

FOUR = [0, 0, 0, 0, 1, 1, 1, 1]
PLANTED = {
    **dict.fromkeys(REFUSED, 1),
    "animated": 3,
    "constant_images": 4,
    "size_outliers": 2,
    "duplicates": 5,
    "near_duplicates": 6,
    "label_conflicts": 2,
    "leakage": 7,
    "imbalance": 12,
    "few_images": 1,
    "missing_classes": 1,
}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def twice(labelled):
    """Two equal images in training, one of them in test too; another with two labels."""
    train, test = labelled(FOUR), labelled(FOUR)
    train.images[1] = train.images[0]
    test.images[2] = train.images[0]
    train.images[7] = train.images[3]
    train.images[7, 0, 0] ^= 8
    return {"train": train, "validation": labelled(FOUR), "test": test}


def test_what_is_ignored_is_not_told_and_failures_come_first(examined, twice):
    checks = ChecksSection(label_conflicts="fail", duplicates="ignore")
    result = examined(checks=checks, **twice)
    assert [(f.check, f.level) for f in result.findings] == [
        ("label_conflicts", "fail"),
        ("leakage", "warn"),
        ("few_images", "warn"),
    ]
    assert [f.check for f in result.failures] == ["label_conflicts"]


def test_every_check_has_one_finder_and_a_level():
    named = [check for checks in run_checks.FINDERS.values() for check in checks]
    assert sorted(named) == sorted(CHECKS)
    section = ChecksSection(drift="fail")
    assert section.level("drift") == "fail"
    with pytest.raises(KeyError):
        section.level("similarity")


def test_a_run_ends_with_the_first_failure_and_the_number_of_others(examined, twice):
    checks = ChecksSection(label_conflicts="fail", duplicates="fail", leakage="fail")
    with pytest.raises(DataError) as caught:
        run_checks.refuse_failures(examined(checks=checks, **twice))
    (line,) = str(caught.value).splitlines()
    assert line == (
        "somewhere: duplicates: 1 image equal to another of the same class and split; "
        "data.drop_duplicates=true keeps one of them in training; it is image 0 (train) = "
        "image 1 (train). 2 more findings of level fail. check-data with the same -c and settings "
        "lists all; data.checks.duplicates=warn goes on"
    )


def test_warnings_end_no_run(examined, twice):
    run_checks.refuse_failures(examined(**twice))


def test_what_was_found_is_written(examined, twice, tmp_path):
    refused = (Refused("train", "a/x,y\n.png", 0, "empty", "has no byte"),)
    run_checks.write(tmp_path, examined(refused=refused, **twice))
    written = json.loads((tmp_path / "checks.json").read_text(encoding="utf-8"))
    assert [f["check"] for f in written["findings"]] == [
        "empty",
        "duplicates",
        "label_conflicts",
        "leakage",
    ]
    leak = written["findings"][3]
    assert leak["count"] == 2
    assert leak["examples"][0][1] == {
        "split": "test", "name": "image 2", "label": "a", "number": 2 * len(FOUR) + 2
    }  # fmt: skip
    assert written["settings"]["leakage"] == "warn"
    assert rows(tmp_path / "quarantine.csv") == [
        ["split", "file", "class", "kind", "reason"],
        ["train", "a/x,y\n.png", "a", "empty", "has no byte"],
    ]
    assert rows(tmp_path / "duplicates.csv")[1:] == [
        ["1", "train", "image 0", "a", "equal", "left out: also in test"],
        ["1", "train", "image 1", "a", "equal", "left out: also in test"],
        ["1", "test", "image 2", "a", "equal", "kept"],
        ["2", "train", "image 3", "a", "equal", "kept"],
        ["2", "train", "image 7", "b", "near", "kept"],
    ]


def test_files_of_an_earlier_examination_do_not_stay(examined, labelled, twice, tmp_path):
    run_checks.write(tmp_path, examined(**twice))
    assert (tmp_path / "duplicates.csv").exists()
    run_checks.write(tmp_path, examined(train=labelled(FOUR), test=labelled(FOUR)))
    assert [path.name for path in tmp_path.iterdir()] == ["checks.json"]


def test_a_file_name_that_is_no_text_is_written_escaped(examined, twice, tmp_path):
    refused = (Refused("train", "a/\udcff.png", 0, "empty", "has no byte"),)
    run_checks.write(tmp_path, examined(refused=refused, **twice))
    assert rows(tmp_path / "quarantine.csv")[1][1] == "a/\\udcff.png"


def test_statistics_are_those_of_the_pixels(examined, labelled):
    train, validation, test = (labelled(FOUR, channels=3) for _ in range(3))
    given = {"train": train, "validation": validation, "test": test}
    statistics = examined(**given).as_json()["statistics"]
    pixels = train.images.astype(np.float64)
    expected = pixels.mean(axis=(0, 1, 2)), pixels[4:].std(axis=(0, 1, 2))
    assert statistics["train"]["images"] == 8
    assert statistics["train"]["mean"] == pytest.approx(expected[0], abs=0.006)
    assert statistics["train"]["classes"]["b"]["images"] == 4
    assert statistics["train"]["classes"]["b"]["deviation"] == pytest.approx(expected[1], abs=0.006)


class Plan:
    """Files of one split as they would be decoded, with defects put in by hand."""

    def __init__(self, noise, labels):
        self.images, self.labels = noise(len(labels), channels=3), list(labels)
        self.sizes = [(90, 120)] * len(labels)

    def spool(self, split, folder):
        path = folder / f"{split}.pixels"
        path.write_bytes(self.images.tobytes())
        count = len(self.labels)
        return SpooledImages(
            path,
            self.images.shape[1:],
            np.array(self.labels),
            np.arange(count),
            np.array([f"{split}/{i}.jpg" for i in range(count)], object),
            np.array(self.sizes, np.int32),
        )


def nearly(image):
    """The image with noise far below what can be seen."""
    return np.clip(image.astype(np.int16) + 2, 0, 255).astype(np.uint8)


def test_planted_defects_are_all_found_and_none_is_invented(found, noise, tmp_path):
    train = Plan(noise, [0] * 130 + [1] * 60 + [2] * 10)
    validation, test = Plan(noise, [0] * 20 + [1] * 20 + [2] * 2), Plan(noise, [0] * 20 + [1] * 20)
    train.images[[3, 4, 5]] = train.images[2]
    train.images[[8, 151]] = train.images[[7, 150]]
    for copy, original in ((11, 10), (13, 12), (15, 14), (153, 152), (155, 154), (157, 156)):
        train.images[copy] = nearly(train.images[original])
    train.images[170] = train.images[20]
    train.images[171] = nearly(train.images[21])
    test.images[:4] = train.images[30:34]
    test.images[4:7] = [nearly(image) for image in train.images[34:37]]
    train.images[40:44] = np.arange(0, 240, 60, dtype=np.uint8)[:, None, None, None]
    train.sizes[50], test.sizes[9] = (15, 120), (90, 900)
    refused = [Refused("train", f"{kind}.png", 0, kind, "is wrong") for kind in REFUSED]
    refused += [Refused("test", f"{i}.webp", 1, "animated", "moves") for i in range(2)]
    findings = found(
        checks=ChecksSection(imbalance_ratio=12),
        classes=("a", "b", "c"),
        refused=tuple(refused),
        train=train.spool("train", tmp_path),
        validation=validation.spool("validation", tmp_path),
        test=test.spool("test", tmp_path),
    )
    assert {check: sum(f.count for f in told) for check, told in findings.items()} == PLANTED
    told = " ".join(e.name for f in findings["leakage"] for group in f.examples for e in group)
    assert told.split()[::2] == [f"train/{i}.jpg" for i in range(30, 37)]
