"""Whether the libraries have what they need in turn, by their own account."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.core.command_hints import install_pins
from pipeline.doctor.finding import Finding
from pipeline.doctor.packages import Installed, Pin, installed, listed, normal


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
