"""What may have been meant by a name that is unknown, or by a value that should be a list."""

from collections.abc import Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

SIDE = 64
SHORTEST, LONGEST = 3, 5
"""One letter in so many may be another: in short names the fewest, in all others the most."""


def field_type(location: Sequence[str | int], config_type: type[BaseModel]) -> Any:
    """The type of what stands at this place of the config; None where that is free."""
    model: Any = config_type
    for part in location:
        if hasattr(model, "model_fields"):
            field = model.model_fields.get(part)
            model = section_of(field.annotation) if field else None
        else:  # a mapping: its keys are free, its values of one type
            *_, model = get_args(model) or (None,)
    return model


def section_of(annotation: Any) -> Any:
    """The section of `Section | None`; any other type as it is."""
    return next((b for b in _branches(annotation) if hasattr(b, "model_fields")), annotation)


def elsewhere(key: str, config_type: type[BaseModel]) -> str:
    """The places of other sections that have this very key: `train.epochs or tune.epochs`."""
    sections = {name: field.annotation for name, field in config_type.model_fields.items()}
    places = [n for n, section in sections.items() if key in getattr(section, "model_fields", {})]
    return " or ".join(f"{name}.{key}" for name in places)


def such_as(value: Any, annotation: Any) -> str:
    """An example for a value that should be a list: `, such as [96, 96]`; empty if none is known.

    Args:
        value: what stands there; it is repeated where the list may hold it.
        annotation: the type of the setting.
    """
    for branch in map(_bare, _branches(annotation)):
        if get_origin(branch) is tuple:
            items = [_item(value, item) for item in get_args(branch) if item is not Ellipsis]
            if None not in items:
                return f", such as [{', '.join(map(str, items))}]"
    return ""


def _branches(annotation: Any) -> tuple[Any, ...]:
    """What a value may be an instance of: both of `X | None`."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _item(value: Any, annotation: Any) -> Any:
    annotation = _bare(annotation)
    if get_origin(annotation) is Literal:
        options = get_args(annotation)
        return value if value in options else options[0]
    if annotation in (int, str) and type(value) is annotation:
        return value
    return SIDE if annotation is int else None


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def suggest(name: str, available: Sequence[str]) -> str:
    """Words for an error: the nearest of the names that exist, and all of them."""
    near = nearest(name, available)
    hint = f"Did you mean {near!r}? " if near else ""
    return f"{hint}Available: {', '.join(available) or 'none'}"


def nearest(name: str, available: Sequence[str]) -> str | None:
    """The name that differs by a slip or by words left out; None if none is so near."""
    folded = {other.casefold(): other for other in reversed(available)}
    asked = name.casefold()
    letters = min(max(len(asked), SHORTEST), LONGEST)
    if close := get_close_matches(asked, folded, n=1, cutoff=(letters - 1.01) / letters):
        return folded[close[0]]
    words = set(asked.split("_"))
    return next((other for other in available if words <= set(other.casefold().split("_"))), None)
