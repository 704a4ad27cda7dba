"""Processor, memory and limits, on made-up files of Linux and under real limits."""

import subprocess
import sys

import pytest

from pipeline.core import processes
from pipeline.core.plugins import ROOT
from pipeline.doctor import hardware
from pipeline.doctor.hardware import (
    control_groups,
    cores,
    examine_memory,
    examine_processor,
    file_system_type,
    memory_bytes,
)

GIB = 2**30
MEMINFO = "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:   12582912 kB\nHugePages: 0\n"
UNIFIED = {"proc/self/cgroup": "0::/app/job\n", "proc/meminfo": MEMINFO}
FIRST = {"proc/self/cgroup": "5:memory:/job\n3:cpu,cpuacct:/job\n", "proc/meminfo": MEMINFO}


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 8)


def test_the_instruction_sets_that_matter_are_named(machine, eight_cores):
    flags = "flags\t\t: fpu sse2 avx avx2 avx512f avx512_bf16 avx512_vnni\n"
    root = machine({"proc/cpuinfo": f"processor: 0\n{flags}\nprocessor: 1\n{flags}"})
    (finding,) = examine_processor(root, "x86_64")
    assert finding.found == "8 cores, AVX2, AVX-512, AVX512-BF16; bfloat16 may train faster"


def test_a_processor_without_avx_cannot_run_tensorflow(machine, eight_cores):
    root = machine({"proc/cpuinfo": "flags : fpu sse2 ssse3\n"})
    (finding,) = examine_processor(root, "x86_64")
    assert finding.level == "fail"
    assert "illegal instruction" in finding.found
    assert "-cpu host" in finding.remedy


def test_another_architecture_needs_no_avx(machine, eight_cores):
    root = machine({"proc/cpuinfo": "Features\t: fp asimd bf16\n"})
    (finding,) = examine_processor(root, "aarch64")
    assert (finding.level, finding.found) == ("ok", "8 cores; bfloat16 may train faster")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**UNIFIED, "sys/fs/cgroup/app/cpu.max": "150000 100000\n"}, 1.5),
        ({**UNIFIED, "sys/fs/cgroup/app/job/cpu.max": "max 100000\n"}, 8),
        (
            {
                **FIRST,
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        ({**FIRST, "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1\n"}, 8),
        ({}, 8),
    ],
)
def test_a_container_may_have_fewer_cores(machine, eight_cores, files, expected):
    assert cores(machine(files)) == expected


def test_memory_is_that_of_the_machine_where_nothing_limits_it(machine):
    assert memory_bytes(machine(UNIFIED)) == (12 * GIB, 16 * GIB)
    assert memory_bytes(machine({"proc/meminfo": ""})) is None


@pytest.mark.parametrize(
    "files",
    [
        {
            **UNIFIED,
            "sys/fs/cgroup/app/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/app/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/app/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
            "sys/fs/cgroup/app/job/memory.max": "max\n",
        },
        {
            **FIRST,
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{4 * GIB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{3 * GIB}\n",
            "sys/fs/cgroup/memory/job/memory.stat": f"total_inactive_file {GIB // 2}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    ],
)
def test_a_container_s_limit_counts_without_the_file_pages_that_can_go(machine, files):
    root = machine(files)
    assert memory_bytes(root) == (3 * GIB // 2, 4 * GIB)
    (finding,) = examine_memory(root)
    assert finding.level == "warn"
    assert finding.found.startswith("1.6 of 4.3 GB available; ")
    assert finding.remedy


def test_control_groups_outside_of_what_a_container_sees_are_no_error(machine):
    root = machine({"proc/self/cgroup": "0::/../../outside\nnonsense:x:\n"})
    assert all(folder.is_relative_to(root) for folder in control_groups(root, "memory"))


def test_the_nearest_mount_tells_the_kind_of_file_system(machine):
    root = machine(
        {
            "proc/mounts": "/dev/a / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\n"
            "tmpfs /data/my\\040tmp tmpfs rw 0 0\n/dev/b /data/my\\040tmp xfs rw 0 0\n"
        }
    )
    assert file_system_type(hardware.SLASH / "data" / "set", root) == "nfs4"
    assert file_system_type(hardware.SLASH / "database", root) == "ext4"
    assert file_system_type(hardware.SLASH / "data" / "my tmp" / "x", root) == "xfs"


@pytest.mark.parametrize(
    ("kind", "allowed", "name", "remedy"),
    [
        ("RLIMIT_AS", 2**33, "address space", "ulimit -v unlimited"),
        ("RLIMIT_NOFILE", 100, "open files", "ulimit -n 1024"),
        ("RLIMIT_FSIZE", 10**6, "size of a file", "ulimit -f unlimited"),
    ],
)
def test_a_limit_of_the_shell_that_is_too_low_is_told_of(kind, allowed, name, remedy):
    code = (
        "import resource\nfrom pipeline.doctor.hardware import examine_limits\n"
        f"resource.setrlimit(resource.{kind}, ({allowed}, {allowed}))\n"
        "for f in examine_limits(): print(f.level, f.found, f.remedy, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    (line,) = done.stdout.splitlines()
    level, found, said = line.split("|")
    assert (level, said) == ("warn", remedy)
    assert found.startswith(f"{name}: {allowed:,} allowed, ")
