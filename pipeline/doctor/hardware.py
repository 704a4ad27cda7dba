"""Whether processor, memory and the limits on this process are enough, by what Linux tells."""

import platform
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.core import processes
from pipeline.doctor.finding import Finding

SLASH = Path("/")
# By Linux' names; TensorFlow's wheels are built with the first, and use the others if there.
NEEDED = "avx"
HELPFUL = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
INTEL = {"x86_64", "AMD64"}
# A run of the default config takes 1.8 GB, all processes together.
ENOUGH_MEMORY_BYTES = 2e9
# The least that does, and the option and unit of `ulimit` that raise it.
LIMITS = {
    "address space": ("RLIMIT_AS", 32e9, "ulimit -v unlimited"),
    "data segment": ("RLIMIT_DATA", 8e9, "ulimit -d unlimited"),
    "size of a file": ("RLIMIT_FSIZE", 2e9, "ulimit -f unlimited"),
    "open files": ("RLIMIT_NOFILE", 512, "ulimit -n 1024"),
}


def read(path: Path) -> str:
    """The text of a file that may not be there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def instructions(root: Path = SLASH) -> frozenset[str]:
    """The instruction sets of the processor by the system's names; empty where it tells none."""
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", read(root / "proc/cpuinfo"), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def cores(root: Path = SLASH) -> float:
    """How many processor cores may be used at a time; a container may have a part of one."""
    limits = [_core_limit(folder) for folder in control_groups(root, "cpu")]
    return min([processes.cores(), *filter(None, limits)])


def _core_limit(folder: Path) -> float | None:
    quota, period = [*read(folder / "cpu.max").split(), "", ""][:2]
    quota = quota or read(folder / "cpu.cfs_quota_us").strip()
    period = period or read(folder / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def memory_bytes(root: Path = SLASH) -> tuple[int, int] | None:
    """What is available, and all that there is; control groups may allow less than there is."""
    lines = read(root / "proc/meminfo").splitlines()
    values = {k: int(v.split()[0]) * 1024 for k, _, v in (line.partition(":") for line in lines)}
    if not {"MemAvailable", "MemTotal"} <= set(values):
        return None
    available, total = values["MemAvailable"], values["MemTotal"]
    for folder in control_groups(root, "memory"):
        limit = _number(folder, "memory.max", "memory.limit_in_bytes")
        if limit is not None and limit < total:
            used = _number(folder, "memory.current", "memory.usage_in_bytes") or 0
            available, total = min(available, limit - used + _cached(folder)), limit
    return max(available, 0), total


def _number(folder: Path, *names: str) -> int | None:
    texts = (read(folder / name).strip() for name in names)
    return next((int(text) for text in texts if text.isdigit()), None)


def _cached(folder: Path) -> int:
    """File pages that count as used, and which the system drops when memory is wanted."""
    match = re.search(r"^(?:total_)?inactive_file (\d+)$", read(folder / "memory.stat"), re.M)
    return int(match[1]) if match else 0


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process' control groups, innermost first; of version 2 and of 1."""
    base = root / "sys/fs/cgroup"
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = base / controller if controllers else base
        inner = top / name.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def file_system_type(path: Path, root: Path = SLASH) -> str:
    """Such as `ext4`, `nfs4` or `tmpfs`, by the nearest mount above the path."""
    mounts = [line.split() for line in read(root / "proc/mounts").splitlines()]
    above = [
        (len(fields[1]), index, fields[2])
        for index, fields in enumerate(mounts)
        if len(fields) > 2 and path.is_relative_to(fields[1].replace("\\040", " "))
    ]
    return max(above)[2] if above else "unknown type"


def examine_processor(
    root: Path = SLASH, architecture: str = platform.machine()
) -> Iterator[Finding]:
    """How many cores, and which of the instruction sets that matter."""
    there = instructions(root)
    count = cores(root)
    shown = f"{count:g} core" if count == 1 else f"{count:g} cores"
    if there and architecture in INTEL and NEEDED not in there:
        found = f"{shown} without AVX; TensorFlow ends with an illegal instruction"
        remedy = "in a virtual machine, give it the host's processor (QEMU: -cpu host)"
        yield Finding("processor", "fail", found, remedy)
        return
    names = [name for flag, name in HELPFUL.items() if flag in there]
    speed = "bfloat16 may train faster" if there & BFLOAT16 else "no bfloat16: trains in float32"
    yield Finding("processor", "ok", ", ".join([shown, *names]) + (f"; {speed}" if there else ""))


def examine_memory(root: Path = SLASH) -> Iterator[Finding]:
    """How much may still be used, by the machine and by the control groups."""
    if (memory := memory_bytes(root)) is None:
        return
    available, total = memory
    found = f"{available / 1e9:.1f} of {total / 1e9:.1f} GB available"
    if available < ENOUGH_MEMORY_BYTES:
        found += f"; a run of the default config takes about {ENOUGH_MEMORY_BYTES / 1e9:.0f} GB"
        remedy = "ps aux --sort=-rss | head shows what takes it; a container has its own limit"
        yield Finding("memory", "warn", found, remedy)
    else:
        yield Finding("memory", "ok", found)


def examine_limits() -> Iterator[Finding]:
    """What the shell allows too little of; none where all is well, or the system has no limits."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    for name, (kind, least, remedy) in LIMITS.items():
        allowed = resource.getrlimit(getattr(resource, kind))[0]
        if allowed != resource.RLIM_INFINITY and allowed < least:
            found = f"{name}: {allowed:,} allowed, {least:,.0f} may be needed"
            yield Finding("limits", "warn", found, remedy)
