"""Class names by one rule for all sources: their order, and spellings that are one name."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from pipeline.core.errors import DataError

INTEGER = re.compile(r"-?[0-9]{1,18}")
NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
WRITTEN_NUMBER = re.compile(NUMBER.pattern + "([eE][+-]?[0-9]{1,2})?")
WRITTEN_AS_FRACTION = re.compile(r"(-?[0-9]{1,18})\.0{1,18}")

MISSING = frozenset((
    "", "nan", "NaN", "NAN", "-nan", "-NaN", "<NA>", "NA", "N/A", "n/a", "#N/A", "#NA", "NaT",
    "None", "null", "NULL", r"\N", "1.#QNAN", "-1.#IND",
))  # fmt: skip
"""What pandas, NumPy, R, spreadsheets and databases write for a value that is not there."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Numbers as numbers, if all are; else by code points."""
    found = sorted(names)
    return tuple(sorted(found, key=Decimal) if all(map(NUMBER.fullmatch, found)) else found)


def classes_of(
    texts: Collection[str], given: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Mapping[str, int]]:
    """The class names in label order, and the class of each text that has one.

    Where all texts are whole numbers, `1.0` is `1`, as pandas writes a column that once had a gap,
    and `1.00e+00`, as numpy.savetxt does.

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
    whole = {text: _whole(text) for text in texts}
    return (
        whole
        if all(map(INTEGER.fullmatch, whole.values()))
        else dict(zip(texts, texts, strict=True))
    )


def _whole(text: str) -> str:
    """The whole number that a text is, without its fraction or exponent; any other as it is."""
    if not WRITTEN_NUMBER.fullmatch(text):
        return text
    if "e" not in text.lower():
        return WRITTEN_AS_FRACTION.sub(r"\1", text)
    number = Decimal(text)
    return str(int(number)) if number == number.to_integral_value() else text


def late_count(lowest: float, highest: float, num_classes: int) -> str:
    """What an error adds where labels are as many numbers as classes, but count from above 0."""
    if not 0 < float(lowest) <= float(highest) < float(lowest) + num_classes:
        return ""
    return f" If the first class is {lowest:.0f}, subtract {lowest:.0f} from each label."


def late_texts(texts: Collection[str], num_classes: int) -> str:
    """The same of labels in a table."""
    named = set(_plain(texts).values())
    if not all(map(INTEGER.fullmatch, named)):
        return ""
    return late_count(min(map(int, named)), max(map(int, named)), num_classes)


def refuse_no_classes(places: Mapping[str, str], doubt: str = "") -> None:
    """Refuses texts that nobody means as class names, unless the config gives all names.

    Args:
        places: where each text stands, as an error begins.
        doubt: what an error adds at its end.

    Raises:
        DataError: a text stands for a value that is missing, or all are numbers and one has a
            fraction, as what is measured has.
    """
    for text, where in places.items():
        if text.strip() in MISSING:
            raise DataError(
                f"{where} is {text!r}, which stands for a label that is missing. Write the class, "
                "or leave the image out; if it is a class, name all classes in data.classes."
                f"{doubt}"
            )
    if not all(map(WRITTEN_NUMBER.fullmatch, places)):
        return
    for text, where in places.items():
        if not INTEGER.fullmatch(_whole(text)):
            raise DataError(
                f"{where} is {text!r}, expected whole numbers or names. Write the class of each "
                "image; if such numbers are the classes, name all in data.classes."
                f"{doubt}"
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
