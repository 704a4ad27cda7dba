"""Images and their classes, in memory or in files, and what a source gives of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.images.decoding import Decoding


class Split(Protocol):
    """Images with their classes, wherever they lie."""

    @property
    def labels(self) -> "np.ndarray":
        """int64 (count,), each an index into the classes."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels."""

    def __len__(self) -> int: ...

    def select(self, indices: "np.ndarray") -> Self:
        """The images at `indices`, int64 (selected,), in their order."""

    def batches(self, size: int) -> "Iterator[LabelledImages]":
        """All images in order, `size` at a time in memory."""

    def name(self, index: int) -> str:
        """What a person calls the image at `index`: its file, or its place in the source."""


@dataclass(frozen=True)
class LabelledImages:
    """Images in memory.

    Attributes:
        images: uint8 (count, height, width, channels).
        labels: int64 (count,), each an index into the classes.
        positions: int64 (count,), each image's place in the source; where None, as they stand.
    """

    images: "np.ndarray"
    labels: "np.ndarray"
    positions: "np.ndarray | None" = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.images.shape[1:]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: "np.ndarray") -> "LabelledImages":
        positions = indices if self.positions is None else self.positions[indices]
        return LabelledImages(self.images[indices], self.labels[indices], positions)

    def batches(self, size: int) -> "Iterator[LabelledImages]":
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield LabelledImages(self.images[part], self.labels[part])

    def name(self, index: int) -> str:
        position = index if self.positions is None else int(self.positions[index])
        return f"image {position:,}"


@dataclass(frozen=True)
class ImageFiles:
    """Images that are still in their files; ingest decodes them and leaves out what it cannot.

    Attributes:
        folder: where the files are.
        names: of the files, as paths from `folder` on.
        labels: int64 (count,), each an index into the classes.
        decoding: how a file becomes pixels.
    """

    folder: str
    names: tuple[str, ...]
    labels: "np.ndarray"
    decoding: "Decoding"

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: "np.ndarray") -> "ImageFiles":
        names = tuple(self.names[index] for index in indices)
        return ImageFiles(self.folder, names, self.labels[indices], self.decoding)


@dataclass(frozen=True)
class DrawnTest:
    """A test split that is still to be drawn from the training images.

    Attributes:
        fraction: share of each class.
        seed: decides which.
    """

    fraction: float
    seed: int


@dataclass(frozen=True)
class SourceData:
    """What a source read.

    Attributes:
        classes: names, in label order.
        origin: where the images came from, for a person.
        validation: the source's own validation split; where None, one is drawn from `train`.
    """

    train: LabelledImages | ImageFiles
    test: LabelledImages | ImageFiles | DrawnTest
    classes: tuple[str, ...]
    origin: str
    validation: LabelledImages | ImageFiles | None = None
