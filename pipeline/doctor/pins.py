"""Whether the libraries are those of requirements.txt, and each is there once."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

from pipeline.core.command_hints import install_pins, pip
from pipeline.doctor.finding import Finding
from pipeline.doctor.packages import Installed, Pin, distributions, installed, listed, normal

# Packages that several distributions bring; pip lays the second over the first in silence.
FOLDERS = ("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "numpy")
NAMED = ("tensorflow", "tensorflow-cpu", "keras", "onnxruntime")


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
