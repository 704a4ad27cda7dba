"""Finding: what one check of the machine saw, and what to do about it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        name: of the check, in a word or two.
        level: `warn` where runs work, but not as well as they could; `fail` where they would not.
        found: in words.
        remedy: a command that can be pasted, or else what to do; empty where all is well.
    """

    name: str
    level: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        assert (self.level == "ok") == (not self.remedy), f"{self.name}: {self.remedy!r}"
