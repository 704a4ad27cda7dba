"""What checks look at, and what they say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pipeline.config.data_checks import ChecksSection, Level
from pipeline.data.decode_files import Gathered
from pipeline.data.make_splits import Prepared, Profiled

MOST_EXAMPLES = 10
MOST_OF_A_GROUP = 4
SPLIT_WORDS = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Example:
    """An image or file that a person can look at.

    Attributes:
        split: where it stands.
        name: its file, or its place in the source.
        label: the name of its class.
        number: by which its picture is found; None of a file that was left out.
    """

    split: str
    name: str
    label: str
    number: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        check: its name in `data.checks`.
        count: how many images, groups of images or classes.
        message: one line that says what was found and what to do.
        examples: some of what was found; those of one group belong together.
        level: what it does to a run.
    """

    check: str
    count: int
    message: str
    examples: tuple[tuple[Example, ...], ...] = ()
    level: Level = "warn"

    @property
    def line(self) -> str:
        """The check and its message, with the first example unless the message names it."""
        if not self.examples or self.examples[0][0].name in self.message:
            return f"{self.check}: {self.message}"
        first = "it is" if len(self.examples) == 1 else "the first is"
        return f"{self.check}: {self.message}; {first} {self.groups[0]}"

    @property
    def groups(self) -> tuple[str, ...]:
        """Of each group of examples: `a.png (train) = b.png (test)`, with classes that differ."""
        return tuple(" = ".join(_example_words(group)) for group in self.examples)


def _example_words(group: tuple[Example, ...]) -> Iterator[str]:
    differ = len({example.label for example in group}) > 1
    for example in group:
        label = f", class {example.label!r}" if differ else ""
        yield f"{example.name} ({example.split}{label})"


@dataclass(frozen=True)
class Material:
    """What checks look at.

    Attributes:
        gathered: what the source gave.
        surveyed: its splits within the limits, before images were dropped.
        prepared: the splits as they will be written.
        section: thresholds.
    """

    gathered: Gathered
    surveyed: Mapping[str, Profiled]
    prepared: Prepared
    section: ChecksSection

    @property
    def classes(self) -> tuple[str, ...]:
        return self.gathered.classes

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (images,), by the image's number."""
        return np.concatenate([part.profile.labels for part in self.surveyed.values()])

    @cached_property
    def equal(self) -> np.ndarray:
        """int64 (images,): the lowest number of an image that equals it."""
        return np.concatenate([part.equal for part in self.surveyed.values()])

    @cached_property
    def alike(self) -> np.ndarray:
        """int64 (images,): the lowest number of those that equal it or nearly do."""
        return np.concatenate([part.alike for part in self.surveyed.values()])

    @cached_property
    def splits(self) -> np.ndarray:
        """int64 (images,): places in `surveyed` of the images' splits."""
        sizes = [len(part) for part in self.surveyed.values()]
        return np.repeat(np.arange(len(sizes)), sizes)

    def example(self, number: int) -> Example:
        """The image of this number."""
        split, index = self.place(number)
        name = self.surveyed[split].images.name(index)
        return Example(split, name, self.classes[self.labels[number]], number)

    def place(self, number: int) -> tuple[str, int]:
        """The split of the image of this number, and its index there."""
        for split, part in self.surveyed.items():
            if number <= part.numbers[-1]:
                return split, number - int(part.numbers[0])
        raise IndexError(number)

    def examples(self, groups: Iterable[np.ndarray]) -> tuple[tuple[Example, ...], ...]:
        """The first of each of the first groups of numbers."""
        shown = []
        for _, group in zip(range(MOST_EXAMPLES), groups, strict=False):
            shown.append(tuple(self.example(int(n)) for n in group[:MOST_OF_A_GROUP]))
        return tuple(shown)

    def singles(self, numbers: np.ndarray) -> tuple[tuple[Example, ...], ...]:
        """The first of these numbers, each by itself."""
        return self.examples(numbers[:, None])
