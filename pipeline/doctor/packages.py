"""Which libraries requirements.txt pins, and which are installed."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline.core.plugins import ROOT

REQUIREMENTS = ROOT / "requirements.txt"
PIN = re.compile(r"^(?P<name>[\w.-]+)(\[.*\])?==(?P<version>[^\s;#]+)\s*(;\s*(?P<marker>[^#]+))?")
# What may stand in for a pin: the same library, built for fewer devices.
STAND_INS = {"tensorflow": ("tensorflow-cpu",)}
MOST_NAMED = 6
Installed = Mapping[str, metadata.Distribution]


@dataclass(frozen=True)
class Pin:
    """A line of requirements.txt."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def found_in(self, there: Installed) -> metadata.Distribution | None:
        """The distribution that meets it by name."""
        names = map(normal, (self.name, *STAND_INS.get(self.name, ())))
        return next((there[name] for name in names if name in there), None)


def read_pins(requirements: Path = REQUIREMENTS) -> tuple[Pin, ...]:
    """The pins that hold on this machine."""
    return tuple(Pin(m["name"], m["version"]) for m in _lines(requirements) if _holds(m["marker"]))


def read_others(requirements: Path = REQUIREMENTS) -> tuple[Pin, ...]:
    """The pins that hold on other systems alone."""
    lines = _lines(requirements)
    return tuple(Pin(m["name"], m["version"]) for m in lines if not _holds(m["marker"]))


def _lines(requirements: Path) -> Iterator[re.Match[str]]:
    return filter(None, map(PIN.match, requirements.read_text(encoding="utf-8").splitlines()))


def _holds(marker: str | None) -> bool:
    if not marker:
        return True
    try:
        from packaging.markers import Marker
    except ImportError:
        return True
    return Marker(marker).evaluate()


def distributions(path: Sequence[str] | None = None) -> Iterator[metadata.Distribution]:
    """All on `path`, that of imports if none; one may be there twice."""
    for distribution in metadata.distributions(path=list(sys.path if path is None else path)):
        if distribution.metadata["Name"] and distribution.metadata["Version"]:
            yield distribution


def installed(path: Sequence[str] | None = None) -> Installed:
    """Each distribution that an import would find, by its normal name."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in distributions(path):
        found.setdefault(normal(distribution.metadata["Name"]), distribution)
    return found


def normal(name: str) -> str:
    """One spelling of all that pip takes for the same name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown
