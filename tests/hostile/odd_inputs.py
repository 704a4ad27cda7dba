"""Inputs that look hostile and are none: all of their pictures are used."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.path_tables import GOOD, from_table
from tests.hostile.photos import COUNT, from_folder, put

LONG = "\N{BOMB}" * 60 + "n" * 15
NAMES = ("a\nb", "\x1b[31mred", "\N{BOMB} é \N{ARABIC LETTER ALEF}", "-rf", "a,b\"c'd", LONG[:-4])


@dataclass(frozen=True)
class Odd:
    """An input that is taken.

    Attributes:
        make: writes files into an empty folder; gives what is typed after `run`.
        images: how many are used.
        said: what stands in the output.
    """

    make: Callable[[Path], Sequence[str]]
    images: int
    said: str


def odd_names(folder):
    put(folder, "cat", "dog")
    for number, name in enumerate(NAMES):
        (folder / "cat" / f"{number}.png").rename(folder / "cat" / f"{name}.png")
    return from_folder(folder)


def odd_classes(folder):
    put(folder, "\N{CAT FACE}", LONG, "con.", "-rf", "[bold]")
    return from_folder(folder)


def linked(source, target):
    def make(folder):
        put(folder, "cat", "dog")
        (folder / source).symlink_to(target)
        return from_folder(folder)

    return make


def named_twice(*rows):
    return lambda folder: from_table(folder, [*GOOD, *rows])


def cases(folder):
    put(folder, "Dog", "dog")
    return from_folder(folder, 'data.classes=["dog", "Dog"]')


def hard_link_to_itself(folder):
    """A folder whose pictures all stand in a second folder too."""
    put(folder, "cat", "dog")
    (folder / "dog" / "again").mkdir()
    for number in range(COUNT, 2 * COUNT):
        os.link(folder / "dog" / f"{number}.png", folder / "dog" / "again" / f"{number}.png")
    return from_folder(folder)


KINDS = {
    "names that break lines, steer the terminal or fill 255 bytes": Odd(
        odd_names, 2 * COUNT, "in 2 classes"
    ),
    "classes of emoji, 255 bytes and markup": Odd(odd_classes, 5 * COUNT, "in 5 classes"),
    "two classes that differ in case, if they are named": Odd(cases, 2 * COUNT, "in 2 classes"),
    "a folder that leads to itself": Odd(linked("cat/loop", "."), 2 * COUNT, "in 2 classes"),
    "a folder that leads to all data": Odd(linked("cat/loop", ".."), 2 * COUNT, "in 2 classes"),
    "a class that leads to another": Odd(
        linked("cow", "dog"), 3 * COUNT, f"label_conflicts: {COUNT} images in more than one class"
    ),
    "rows that stand twice": Odd(named_twice(*GOOD[:3]), 2 * COUNT + 3, " images equal to another"),
    "a row that stands under two classes": Odd(
        named_twice("cat/0.png,dog"), 2 * COUNT + 1, "label_conflicts: 1 image in more than one"
    ),
    "pictures that stand twice": Odd(
        hard_link_to_itself, 3 * COUNT, " equal to another of the same class"
    ),
}
