"""One line for each mistake in a config: where it stands, what was found, what was expected."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from pipeline.config.layers import Layer, origin
from pipeline.config.schema import DIMENSIONS
from pipeline.config.suggestions import elsewhere, field_type, such_as, suggest

LONGEST_SHOWN = 80
EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a section of `key: value` lines",
    "model_type": "a section of `key: value` lines",
}


def describe(error: Any, config_type: type[BaseModel], layers: Sequence[Layer]) -> str:
    """One line: file, key, what is wrong with it and what would be right."""
    location = tuple(part for part in error["loc"] if not _is_branch(part))
    where = f"{origin(location, layers)}: {_dotted(location)}"
    kind, found = error["type"], _excerpt(error["input"])
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        known = _siblings(error, config_type)
        hint = suggest(str(location[-1]), known)
        if places := elsewhere(str(location[-1]), config_type):
            hint = f"Did you mean {places}? {hint[hint.index('Available') :]}"
        return f"{where} is no known key. {hint}"
    if kind == "literal_error":
        expected = re.split(", | or ", error["ctx"]["expected"].replace("'", ""))
        return f"{where} is {found}. {suggest(str(error['input']), expected)}"
    if kind == "value_error":
        return f"{where}: {error['ctx']['error']}"
    if kind in EXPECTED:
        example = such_as(error["input"], field_type(error["loc"], config_type))
        return f"{where} is {found}; it should be {EXPECTED[kind]}{example}"
    return f"{where} is {found}; it {re.sub('^(Input|Tuple) ', '', error['msg'])}"


def _excerpt(value: Any) -> str:
    text = "empty" if value is None else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _is_branch(part: str | int) -> bool:
    """Whether pydantic added this part of a location to say what it was checking."""
    return part == "[key]" or part in DIMENSIONS.values()


def _siblings(error: Any, config_type: type[BaseModel]) -> list[str]:
    model = field_type(error["loc"][:-1], config_type)
    return sorted(set(getattr(model, "model_fields", {})) - {"name"})


def _dotted(location: Sequence[str | int]) -> str:
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location)
    return text.removeprefix(".")
