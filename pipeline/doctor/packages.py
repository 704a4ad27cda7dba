"""Whether the libraries are those of requirements.txt, there once, and have what they need."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.core.command_hints import install_pins, pip
from pipeline.core.plugins import ROOT
from pipeline.doctor.finding import Finding

REQUIREMENTS = ROOT / "requirements.txt"
PIN = re.compile(r"^(?P<name>[\w.-]+)(\[.*\])?==(?P<version>[^\s;#]+)\s*(;\s*(?P<marker>[^#]+))?")
# What may stand in for a pin: the same library, built for fewer devices.
STAND_INS = {"tensorflow": ("tensorflow-cpu",)}
MOST_NAMED = 6
Installed = Mapping[str, metadata.Distribution]
# Packages that several distributions bring; pip lays the second over the first in silence.
FOLDERS = ("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "numpy")
NAMED = ("tensorflow", "tensorflow-cpu", "keras", "onnxruntime")


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


def examine_pins(pins: Sequence[Pin], path: Sequence[str] | None = None) -> Iterator[Finding]:
    """What is missing, and what is there in another version."""
    there = installed(path)
    missing, other = [], []
    for pin in pins:
        distribution = pin.found_in(there)
        if distribution is None:
            missing.append(pin.name)
        elif not _is_version(distribution.version, pin.version):
            other.append(f"{pin.name} {distribution.version} (pinned {pin.version})")
    if missing:
        yield Finding("libraries", "fail", f"missing: {listed(missing)}", install_pins())
    if other:
        yield Finding("libraries", "warn", f"not tested with {listed(other)}", install_pins())
    if not missing and not other:
        yield Finding("libraries", "ok", f"all {len(pins)} as pinned; {_named(there)}")


def examine_others(pins: Sequence[Pin]) -> Iterator[Finding]:
    """The libraries that are made for other systems; none where this one has all."""
    if pins:
        names = listed([pin.name for pin in pins])
        found = f"not made for this system: {names}; what needs it is left out, and said to be"
        yield Finding("libraries", "ok", found)


def _is_version(found: str, pinned: str) -> bool:
    """Whether they are the same; a local part, as in 2.21.0+cuda, does not count."""
    return found.partition("+")[0] == pinned.partition("+")[0]


def _named(there: Installed) -> str:
    return ", ".join(f"{name} {there[name].version}" for name in NAMED if name in there)


def examine_copies(path: Sequence[str] | None = None) -> Iterator[Finding]:
    """Folders that two distributions own, and a second Keras; none where all is well."""
    for folder, owners in _owners(path).items():
        if len(owners) > 1:
            described = " and ".join(f"{d.metadata['Name']} {d.version}" for d in owners)
            names = sorted({normal(d.metadata["Name"]) for d in owners})
            found = f"two copies of {folder}, one laid over the other: {described}"
            remedy = f"{pip('uninstall', '-y', *names)} && {install_pins()}"
            yield Finding("copies", "fail", found, remedy)
    there = installed(path)
    if "tf-keras" in there:
        found = f"tf_keras {there['tf-keras'].version}, which is Keras 2, beside Keras 3"
        yield Finding("copies", "warn", found, pip("uninstall", "-y", "tf_keras"))


def _owners(path: Sequence[str] | None) -> Mapping[str, list[metadata.Distribution]]:
    owners: dict[str, list[metadata.Distribution]] = defaultdict(list)
    for distribution in distributions(path):
        record = "\n" + (distribution.read_text("RECORD") or "")
        for folder in FOLDERS:
            if f"\n{folder}/__init__.py," in record:
                owners[folder].append(distribution)
    return owners


def examine_dependencies(
    pins: Sequence[Pin], path: Sequence[str] | None = None
) -> Iterator[Finding]:
    """What is missing or of a version that does not do; none where all is well."""
    there = installed(path)
    try:
        wrong = [*_unmet(pins, there)]
    except ImportError:
        wrong = ["TensorFlow needs packaging, which is missing"]
    if wrong:
        yield Finding("dependencies", "fail", listed(wrong), install_pins())


def _unmet(pins: Sequence[Pin], there: Installed) -> Iterator[str]:
    """Goes from the pins that are there to all that they need."""
    met = [found for pin in pins if (found := pin.found_in(there))]
    names = [normal(distribution.metadata["Name"]) for distribution in met]
    for name in names:  # which grows
        for requirement in _requirements(there, name):
            needed = normal(requirement.name)
            if needed not in there:
                yield f"{name} needs {requirement.name}, which is missing"
            elif not requirement.specifier.contains(there[needed].version, prereleases=True):
                version = there[needed].version
                yield f"{name} needs {requirement.name}{requirement.specifier}, found {version}"
            if needed in there and needed not in names:
                names.append(needed)


def _requirements(there: Installed, name: str) -> Iterator[Any]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in there[name].requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip does not read it either
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement
