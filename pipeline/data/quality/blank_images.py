"""Images that show nothing, and colour images without colour."""

from collections.abc import Iterator

import numpy as np

from pipeline.core.text import count_of
from pipeline.data.make_splits import Profiled
from pipeline.data.quality.finding import Finding, Material
from pipeline.data.quality.pixel_statistics import deviations


def constant_images(material: Material) -> Iterator[Finding]:
    """Images whose values hardly deviate from their mean in any channel."""
    parts = material.surveyed.values()
    flattest = material.section.least_deviation
    found = [p.numbers[deviations(p).max(axis=1) < flattest] for p in parts]
    flat = np.concatenate(found)
    if len(flat):
        yield Finding(
            "constant_images",
            len(flat),
            f"{count_of(len(flat), 'image')} of one colour or nearly so; remove them unless "
            "emptiness is a class",
            material.singles(flat),
        )


def colour(material: Material) -> Iterator[Finding]:
    """Three channels that are the same in every image."""
    parts = material.surveyed.values()
    if all(part.profile.sums.shape[1] == 3 and _is_grey(part) for part in parts):
        images = sum(map(len, parts))
        yield Finding(
            "colour",
            images,
            f"none of {count_of(images, 'image')} has a colour; with data.color_mode=grayscale, "
            "where the source has it, the model is smaller and faster",
        )


def _is_grey(part: Profiled) -> bool:
    """Whether sums and sums of squares are the same in all channels of each image."""
    facts = (part.profile.sums, part.profile.squares)
    return all(bool((fact == fact[:, :1]).all()) for fact in facts)
