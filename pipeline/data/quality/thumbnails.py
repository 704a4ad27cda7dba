"""Small pictures of images that were found alike where they should not be, for the report."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.quality.finding import Finding, Material

FILE_NAME = "alike.npz"
SHOWN = ("leakage", "label_conflicts")
MOST_PAIRS = 12
LARGEST_SIDE = 160


def write(folder: Path, material: Material, findings: Iterable[Finding]) -> None:
    """Writes the first pairs of each finding, by turns; replaces those of an earlier examination.

    The file holds for each image, under its number, uint8 (height, width, channels).
    """
    path = folder / FILE_NAME
    path.unlink(missing_ok=True)
    numbers = set(chain.from_iterable(islice(_pairs(findings), MOST_PAIRS)))
    if numbers:
        small = {str(number): _small(material, number) for number in sorted(numbers)}
        np.savez_compressed(path, allow_pickle=False, **small)


def read(folder: Path) -> Mapping[int, np.ndarray]:
    """The pictures by number; none where the artifact has none."""
    path = folder / FILE_NAME
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return {int(number): arrays[number] for number in arrays.files}


def _pairs(findings: Iterable[Finding]) -> Iterator[tuple[int, ...]]:
    """The numbers of the first two images of each group."""
    groups = [finding.examples for finding in findings if finding.check in SHOWN]
    for group in chain.from_iterable(zip_longest(*groups, fillvalue=())):
        if len(group) > 1:
            yield tuple(image.number for image in group[:2] if image.number is not None)


def _small(material: Material, number: int) -> np.ndarray:
    split, index = material.place(number)
    part = material.surveyed[split].images.select(np.array([index]))
    image = next(part.batches(1)).images[0]
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return np.atleast_3d(np.asarray(picture))
