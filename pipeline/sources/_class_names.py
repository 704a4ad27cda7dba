"""Class names by one rule for all sources: their order, and spellings that are one name."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from pipeline.errors import DataError

INTEGER = re.compile(r"-?[0-9]{1,18}")
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
WRITTEN_AS_FRACTION = re.compile(r"(-?[0-9]{1,18})\.0{1,18}")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Numbers as numbers, if all are; else by code points."""
    found = sorted(names)
    return tuple(sorted(found, key=Decimal) if all(map(NUMBER.fullmatch, found)) else found)


def classes_of(
    texts: Collection[str], given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """The class names in label order, and the class of each text that has one.

    Where all texts are whole numbers, `1.0` is `1`, as pandas writes a column that once had a gap.

    Args:
        texts: what stands for the classes of images.
        given: names in label order, which the texts are, or their positions; the texts, in order,
            where None.
    """
    plain = _plain(texts)
    if given is None:
        names = in_order(set(plain.values()))
        indices = {name: index for index, name in enumerate(names)}
        return names, {text: indices[name] for text, name in plain.items()}
    indices = {name: index for index, name in enumerate(given)}
    if indices.keys() >= set(texts):
        return given, {text: indices[text] for text in texts}
    named = set(plain.values())
    if all(map(INTEGER.fullmatch, named)) and not named <= indices.keys():
        indices = {str(index): index for index in range(len(given))}
    return given, {text: indices[name] for text, name in plain.items() if name in indices}


def _plain(texts: Collection[str]) -> dict[str, str]:
    whole = {text: WRITTEN_AS_FRACTION.sub(r"\1", text) for text in texts}
    return (
        whole
        if all(map(INTEGER.fullmatch, whole.values()))
        else dict(zip(texts, texts, strict=True))
    )


def find_twins(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two of which one is the other but for case, spaces, coding or zeros."""
    known: dict[str | Decimal, str] = {}
    for name in names:
        if (first := known.setdefault(_key(name), name)) != name:
            return first, name
    return None


def _key(name: str) -> str | Decimal:
    if NUMBER.fullmatch(name):
        return Decimal(name)
    letters = unicodedata.normalize("NFC", name).casefold()
    return "".join(c for c in letters if not c.isspace() and unicodedata.category(c) != "Cf")


def twins_error(where: str, kind: str, twins: tuple[str, str]) -> DataError:
    """Two spellings of one name are most often one class, half of which would be another."""
    differ = "are one number" if NUMBER.fullmatch(twins[0]) else (
        "differ in case, spaces or coding alone"
    )  # fmt: skip
    return DataError(
        f"{where}: the {kind} {_spelled(*twins)} {differ}. Join them; if each is a class, name all "
        "classes in data.classes."
    )


def _spelled(first: str, second: str) -> str:
    """Both names so that their difference can be seen."""
    are_seen = first.casefold().split() != second.casefold().split()
    return f"{first!a} and {second!a}" if are_seen else f"{first!r} and {second!r}"
