"""Whether TensorFlow sees a GPU; where it does not but there is one, why."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.command_hints import install_pins, pip
from pipeline.doctor.finding import Finding
from pipeline.doctor.hardware import SLASH, read
from pipeline.doctor.packages import listed

NVIDIA = "0x10de"
DISPLAY_CLASS = "0x03"
HIDING = "CUDA_VISIBLE_DEVICES"
# Of CUDA 12: https://docs.nvidia.com/deploy/cuda-compatibility
OLDEST_DRIVER = (525, 60)
IN_CONTAINER = (".dockerenv", "run/.containerenv")
SAID_BY_TENSORFLOW = re.compile(
    r"^[WE]\d{4} \S+\s+\d+ [\w.]+:\d+\] (.*(?:cuda|gpu|cuInit).*)$", re.I
)
DRIVER = "libcuda.so.1"
# By their names of CUDA 12 and cuDNN 9, for which TensorFlow 2.21 is built.
LIBRARIES = (
    DRIVER,
    "libcudart.so.12",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
    "libcudnn.so.9",
    "libcupti.so.12",
    "libnccl.so.2",
    "libnvJitLink.so.12",
    "libnvrtc.so.12",
)


def examine_graphics(
    sees: Mapping[str, Any],
    log: str = "",
    root: Path = SLASH,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Finding]:
    """The GPUs, or that there is none, or what keeps TensorFlow from the one that is there."""
    card = find_card(root)
    if gpus := sees.get("gpus"):
        yield Finding("GPU", "ok", ", ".join(gpus))
    elif not card:
        yield Finding("GPU", "ok", "no NVIDIA card here; training uses the processor")
    elif not sees:
        found = f"{card} is here; TensorFlow does not load, so it cannot be asked"
        yield Finding("GPU", "warn", found, "do first what the lines above say")
    else:
        why, remedy = _obstacle(sees, log, root, environment)
        yield Finding("GPU", "warn", f"{card} is here, but not used: {why}", remedy)


def _obstacle(
    sees: Mapping[str, Any], log: str, root: Path, environment: Mapping[str, str]
) -> tuple[str, str]:
    version, failing = sees["version"], sees["failing_libraries"]
    with_cuda = pip("install", f"tensorflow[and-cuda]=={version}")
    if not sees["is_cuda_build"]:
        swap = f"{pip('uninstall', '-y', 'tensorflow-cpu', 'tensorflow')} && {install_pins()}"
        return "this TensorFlow is built without CUDA", f"{swap} && {with_cuda}"
    if environment.get(HIDING, "0").strip() in ("", "-1"):
        return f"{HIDING}={environment[HIDING]!r} hides it", f"unset {HIDING}"
    if DRIVER in failing:
        return f"{DRIVER}, of NVIDIA's driver, does not load", _driver_remedy(root)
    driver = find_driver(root)
    if driver and driver < OLDEST_DRIVER:
        shown = ".".join(map(str, driver))
        return f"its driver {shown} is too old for CUDA 12", _driver_remedy(root)
    if failing:
        return f"{listed(list(failing))} {_verb(failing)}", with_cuda
    said = [match[1] for match in map(SAID_BY_TENSORFLOW.match, log.splitlines()) if match]
    last = f"TensorFlow says {said[-1]!r}" if said else "TensorFlow does not say why"
    return last, "nvidia-smi must show the card first; if it does not, restart the machine"


def _verb(failing: Mapping[str, str]) -> str:
    return "does not load" if len(failing) == 1 else "do not load"


def _driver_remedy(root: Path) -> str:
    if any((root / name).exists() for name in IN_CONTAINER):
        return "start the container with its host's driver: docker run --gpus all ..."
    return "install NVIDIA's driver (Ubuntu: sudo ubuntu-drivers install), then restart"


def find_card(root: Path = SLASH) -> str:
    """The name of an NVIDIA card, also of one without a driver; empty where there is none."""
    for information in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        if match := re.search(r"^Model:\s*(.+?)\s*$", read(information), re.MULTILINE):
            return match[1]
    for device in sorted(root.glob("sys/bus/pci/devices/*")):
        is_display = read(device / "class").startswith(DISPLAY_CLASS)
        if is_display and read(device / "vendor").strip() == NVIDIA:
            return "an NVIDIA card"
    is_in_windows = (root / "usr/lib/wsl/lib/libcuda.so.1").exists()
    return "an NVIDIA card" if is_in_windows or any(root.glob("dev/nvidia[0-9]*")) else ""


def find_driver(root: Path = SLASH) -> tuple[int, int] | None:
    """The first two parts of the driver's version."""
    match = re.search(r"\b(\d{3})\.(\d+)", read(root / "proc/driver/nvidia/version"))
    return (int(match[1]), int(match[2])) if match else None


def failing_libraries(
    names: Sequence[str] = LIBRARIES, path: Sequence[str] | None = None
) -> dict[str, str]:
    """Those that do not load, each with the loader's own words."""
    why = {name: _why_not(name, sys.path if path is None else path) for name in names}
    return {name: words for name, words in why.items() if words}


def _why_not(name: str, path: Sequence[str]) -> str:
    """Looks where pip puts NVIDIA's packages, as TensorFlow does, then where the system does."""
    copies = (file for place in path for file in Path(place).glob(f"nvidia/*/lib/{name}"))
    try:
        ctypes.CDLL(str(next(copies, name)))
    except OSError as error:
        return str(error)
    return ""
