"""What every section of the config is made of."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the config: unknown keys and wrong types are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )


class NotInKey:
    """Marks a setting that is no part of keys: what is made does not depend on it."""


class Location(NotInKey):
    """Marks a path to outside data: its content decides keys, its place does not."""


OutsidePath = Annotated[Path, AfterValidator(Path.expanduser), Location()]


CLASSES = "classes.json"
"""The file of a train artifact that names the classes which its model tells apart."""


def trained_file(path: Path) -> Path:
    """The `.keras` file that is meant: the path itself, or the model of a train artifact there."""
    return path if path.suffix == ".keras" else path / "model.keras"


def _count_or_all(value: Any) -> int | Literal["all"]:
    if value == "all":
        return "all"
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} should be a whole number from 0 on, or all")
    return value


def _two_or_more(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) < 2:
        raise ValueError(f"names {len(names)} class{'' if names else 'es'}; 2 or more are needed")
    return names


def check_address(text: str) -> str:
    """The text, if it is host:port."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"{text!r} is no address; expected host:port, such as 10.0.0.7:4400")
    return text


Address = Annotated[str, AfterValidator(check_address)]
ClassNames = Annotated[tuple[str, ...], AfterValidator(_two_or_more)]
Count = Annotated[int, Field(ge=0)]
CountOrAll = Annotated[
    int | Literal["all"],
    PlainValidator(_count_or_all, json_schema_input_type=Count | Literal["all"]),
]
