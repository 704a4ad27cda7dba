"""Small sets of images for the checks."""

import numpy as np
import pytest

from pipeline.config.data_checks import ChecksSection
from pipeline.config.schema import DataSection
from pipeline.data.decode_files import Gathered
from pipeline.data.images.types import LabelledImages
from pipeline.data.make_splits import prepare, survey
from pipeline.data.quality.finding import Material
from pipeline.data.quality.run_checks import examine

EVERY_CLASS = ChecksSection(least_images=1)


@pytest.fixture
def noise():
    """Images of noise, each other than all others: uint8 (count, 16, 16, channels)."""
    generator = np.random.default_rng(0)

    def draw(count, channels=1):
        return generator.integers(0, 256, (count, 16, 16, channels), dtype=np.uint8)

    return draw


@pytest.fixture
def labelled(noise):
    """Images of noise with these labels."""
    return lambda labels, channels=1: LabelledImages(noise(len(labels), channels), np.array(labels))


@pytest.fixture
def examined():
    """Examines splits; `train`, `validation` and `test` are given by name."""

    def run(
        checks=EVERY_CLASS,
        classes=("a", "b"),
        refused=(),
        *,
        decoding=None,
        drop_duplicates=False,
        **splits,
    ):
        gathered = Gathered(splits, classes, "somewhere", refused, decoding)
        section = DataSection(source="idx", checks=checks, drop_duplicates=drop_duplicates)
        surveyed = survey(gathered, section, seed=0)
        prepared = prepare(surveyed, section, 0, classes)
        return examine(Material(gathered, surveyed, prepared, checks))

    return run


@pytest.fixture
def found(examined):
    """What was found: for each check, its findings."""

    def run(**given):
        findings = {}
        for finding in examined(**given).findings:
            findings.setdefault(finding.check, []).append(finding)
        return findings

    return run
