"""The section `data.checks`: what is looked for in the images before any training."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from pipeline.config.base import Section

Level = Literal["ignore", "warn", "fail"]


class ChecksSection(Section):
    """What each check does when it finds something: nothing, say so, or end the run.

    Attributes:
        unreadable: files that cannot be opened; like those of the next seven, they are left out.
        empty: files of no bytes.
        truncated: pictures whose file ends too early.
        undecodable: pictures whose bytes make no sense.
        animated: pictures of several frames.
        wrong_extension: files that hold another format than their name says.
        too_large: pictures of more pixels than memory should be given to.
        unsupported: pictures in a format or with colours that are not read.
        constant_images: images of one colour, or nearly so.
        size_outliers: files of a height or width far from the median; pictures that are blown up.
        colour: all images have three channels and none has a colour.
        duplicates: equal images in one class of a split.
        near_duplicates: images in one class of a split that are equal but for compression, scale
            or brightness.
        label_conflicts: equal or near-equal images under different classes.
        leakage: equal or near-equal images in different splits.
        imbalance: some training class has many times the images of another.
        few_images: classes with few training images.
        missing_classes: classes without an image in validation or test.
        drift: validation or test differ from training in brightness, contrast or classes.
        suspect_labels: labels that a quick cross-validated probe contradicts; it takes time.
        drop_leaks: leaves images out of training that are in validation or test too, and out of
            validation those in test.
        least_deviation: grey levels; an image whose values deviate less is nearly constant.
        size_ratio: how many times larger or smaller than the median a side may be.
        similarity: correlation of two small grey versions from which on images are near
            duplicates; at 1, equal images alone count.
        imbalance_ratio: how many times the images of the smallest class the largest may have.
        least_images: how many training images a class should have.
        largest_shift: how far the mean brightness or contrast of a split may lie from that of
            training, in standard deviations between images.
        largest_share_shift: how far the share of a class may.
        suspect_images: how many images of training the probe looks at.
    """

    unreadable: Level = "warn"
    empty: Level = "warn"
    truncated: Level = "warn"
    undecodable: Level = "warn"
    animated: Level = "warn"
    wrong_extension: Level = "warn"
    too_large: Level = "warn"
    unsupported: Level = "warn"
    constant_images: Level = "warn"
    size_outliers: Level = "warn"
    colour: Level = "warn"
    duplicates: Level = "warn"
    near_duplicates: Level = "warn"
    label_conflicts: Level = "warn"
    leakage: Level = "warn"
    imbalance: Level = "warn"
    few_images: Level = "warn"
    missing_classes: Level = "warn"
    drift: Level = "warn"
    suspect_labels: Level = "ignore"

    drop_leaks: bool = True
    least_deviation: Annotated[float, Field(ge=0, le=127)] = 2.0
    size_ratio: Annotated[float, Field(gt=1)] = 4.0
    similarity: Annotated[float, Field(gt=0.9, le=1)] = 0.998
    imbalance_ratio: Annotated[float, Field(ge=1)] = 10.0
    least_images: Annotated[int, Field(ge=1)] = 20
    largest_shift: Annotated[float, Field(gt=0)] = 0.25
    largest_share_shift: Annotated[float, Field(gt=0, le=1)] = 0.05
    suspect_images: Annotated[int, Field(ge=100)] = 50_000

    @property
    def least_similarity(self) -> float:
        """From which correlation on images count as alike; 1 where nothing asks for it."""
        asked = (self.near_duplicates, self.label_conflicts, self.leakage)
        is_asked = self.drop_leaks or any(level != "ignore" for level in asked)
        return self.similarity if is_asked else 1.0

    def level(self, check: str) -> Level:
        """What the check of this name does.

        Raises:
            KeyError: there is no such check.
        """
        if check not in CHECKS:
            raise KeyError(check)
        found: Level = getattr(self, check)
        return found


LEVELS = get_args(Level)
CHECKS = tuple(n for n, f in ChecksSection.model_fields.items() if f.default in LEVELS)
"""All checks, in the order in which they are told."""

REFUSED = CHECKS[: CHECKS.index("constant_images")]
"""The kinds of files that are left out, each a check."""
