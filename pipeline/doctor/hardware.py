"""Whether processor, memory and the limits on this process are enough."""

import platform
from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.finding import Finding
from pipeline.doctor.proc import SLASH, cores, instructions, memory_bytes

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
