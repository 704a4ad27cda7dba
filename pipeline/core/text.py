"""Words for people: counts with their nouns, lists that end, names and shapes on one line."""

from collections.abc import Sequence


def count_of(number: int, one: str, several: str | None = None) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def first_of(texts: Sequence[str], most: int) -> str:
    """`a, b and 3 more`; none are `none`."""
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more or "none"


def quoted(names: Sequence[str], most: int = 8) -> str:
    """`'a', 'b' and 3 more`."""
    return first_of([*map(repr, names)], most)


def times(shape: Sequence[int | None]) -> str:
    """`28×28×1`."""
    return "×".join(map(str, shape)) or "one value"


def printable(name: str) -> str:
    """The name on one line, in quotes and with escapes where it would not print as it is."""
    return name if name.isprintable() else repr(name)


def first_line(error: BaseException) -> str:
    """Of what it says; libraries' errors go on for pages. Empty where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "")
