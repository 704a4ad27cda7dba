"""What every section of the config is made of."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A part of the config: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Location:
    """Marks a path to outside data: its content decides keys, its place does not."""


OutsidePath = Annotated[Path, AfterValidator(Path.expanduser), Location()]
