"""What the report shows of the data beside findings."""

import numpy as np
import pytest

from pipeline.evaluation.report.data_section import class_pixels, pairs

NOTHING = {"images": 0, "mean": [0.0], "deviation": [0.0]}


def facts(mean, deviation, images=4, **classes):
    return {"images": images, "mean": mean, "deviation": deviation, "classes": classes}


def test_channels_are_joined_as_if_their_values_were_one_list():
    values = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(float)
    found = facts(values.mean(axis=0).tolist(), values.std(axis=0).tolist())
    (row,) = class_pixels({"statistics": {"train": {**found, "classes": {"cat": found}}}}, 10)
    assert row.name == "cat"
    assert row.figures[0] == pytest.approx((values.mean(), values.std()))


def test_a_class_without_images_in_a_split_has_no_figures_there():
    train = facts([3.0], [1.0], cat=facts([3.0], [1.0]))
    test = facts([0.0], [0.0], cat=NOTHING)
    (row,) = class_pixels({"statistics": {"train": train, "test": test}}, 10)
    assert row.figures == ((3.0, 1.0), None)


def test_of_too_many_classes_those_farthest_from_the_mean_stay():
    classes = {
        name: facts([mean], [0.0]) for name, mean in zip("abcd", (9, 50, 60, 90), strict=True)
    }
    checks = {"statistics": {"train": facts([52.0], [0.0], **classes)}}
    assert [row.name for row in class_pixels(checks, 2)] == ["a", "d"]
    assert [row.name for row in class_pixels(checks, 4)] == ["a", "b", "c", "d"]


def test_checks_of_an_older_artifact_have_neither():
    assert class_pixels(None, 10) == []
    assert pairs(None, {}) == []
    old = [{"name": "a", "split": "train", "label": "a"}] * 2
    assert pairs({"findings": [{"examples": [old]}]}, {}) == []


def test_a_pair_shows_the_first_two_of_a_group_of_which_there_are_pictures():
    alike = {number: np.full((4, 4, 1), number, np.uint8) for number in (1, 2, 3)}
    groups = [[{"number": number} for number in group] for group in ((1, 2, 3), (1, 9), (3,))]
    (pair,) = pairs({"findings": [{"examples": groups}]}, alike)
    assert [image["number"] for image in pair.images] == [1, 2]
    assert len(set(pair.urls)) == 2
