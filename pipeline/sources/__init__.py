"""Sources: one file each, with an `Options` model and `load(options) -> SourceData`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class LabelledImages:
    """Images with their classes.

    Attributes:
        images: uint8 (count, height, width, channels).
        labels: int64 (count,), each an index into the classes.
    """

    images: "np.ndarray"
    labels: "np.ndarray"

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: "np.ndarray") -> "LabelledImages":
        """The images at `indices`, int64 (selected,), in their order."""
        return LabelledImages(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class SourceData:
    """What a source read.

    Attributes:
        classes: names, in label order.
        origin: where the images came from, for a person.
        validation: the source's own validation split; where None, one is drawn from `train`.
    """

    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]
    origin: str
    validation: LabelledImages | None = None
