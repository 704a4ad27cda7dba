"""Which precision on which device: devices and measurements are stand-ins here."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.schema import TrainSection
from pipeline.core.sealed_json import read_sealed
from pipeline.training import precision
from pipeline.training.precision import (
    Device,
    ProbeMemory,
    choose_execution,
    find_device,
    machine_memory,
    step_probe,
)

AMPERE = Device("gpu", "A100", (8, 0))
PASCAL = Device("gpu", "GTX 1080", (6, 1))
OTHER_GPU = Device("gpu", "another maker's")
PLAIN_CPU = Device("cpu", "old Xeon")
BF16_CPU = Device("cpu", "new Xeon", has_bf16=True)


class Probe:
    """Stands for a measurement: seconds by policy, and with XLA."""

    def __init__(self, bfloat16=1.0, xla=2.0):
        self.calls = []
        self._bfloat16, self._xla = bfloat16, xla

    def __call__(self, policy, jit_compile):
        self.calls.append((policy, jit_compile))
        seconds = self._bfloat16 if policy == "mixed_bfloat16" else 1.0
        return seconds * (self._xla if jit_compile else 1)


@pytest.fixture
def memory(tmp_path):
    return ProbeMemory(tmp_path / "cache" / "probes.json", "net")


@pytest.mark.parametrize(
    ("device", "probe", "policy", "why"),
    [
        (AMPERE, Probe(), "mixed_float16", "A100: has tensor cores"),
        (PASCAL, Probe(), "float32", "GTX 1080: has no tensor cores"),
        (OTHER_GPU, Probe(), "float32", "another maker's: has no tensor cores"),
        (PLAIN_CPU, Probe(), "float32", "old Xeon: has no bfloat16 instructions"),
        (BF16_CPU, Probe(bfloat16=0.6), "mixed_bfloat16", "new Xeon: a bfloat16 step takes 0.60"),
        (BF16_CPU, Probe(bfloat16=0.97), "float32", "new Xeon: a bfloat16 step takes 0.97"),
        (BF16_CPU, Probe(bfloat16=3.0), "float32", "new Xeon: a bfloat16 step takes 3.00"),
    ],
)
def test_auto_takes_what_suits_the_device_and_says_why(memory, device, probe, policy, why):
    execution = choose_execution(TrainSection(jit_compile=False), device, probe, memory)
    assert execution.policy == policy
    assert execution.reason.startswith(why)


@pytest.mark.parametrize(("xla", "jit"), [(0.5, True), (0.97, False), (2.5, False)])
def test_xla_is_used_where_it_measures_faster(memory, xla, jit):
    execution = choose_execution(TrainSection(), PLAIN_CPU, Probe(xla=xla), memory)
    assert execution.jit_compile is jit
    assert execution.reason.endswith(f"a step with XLA takes {xla:.2f} times as long as without")


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("jit", [True, False])
def test_what_the_config_says_is_obeyed_unmeasured(memory, policy, jit):
    probe = Probe(bfloat16=0.1, xla=0.1)
    section = TrainSection(precision=policy, jit_compile=jit)
    execution = choose_execution(section, AMPERE, probe, memory)
    assert (execution.policy, execution.jit_compile) == (policy, jit)
    assert execution.reason == "A100: as configured"
    assert probe.calls == []


@pytest.mark.parametrize(
    ("device", "policy"),
    [(AMPERE, "mixed_float16"), (PLAIN_CPU, "float32"), (BF16_CPU, "float32")],
)
def test_what_must_come_out_the_same_each_time_is_not_left_to_a_measurement(memory, device, policy):
    probe = Probe(bfloat16=0.1, xla=0.1)
    execution = choose_execution(TrainSection(deterministic=True), device, probe, memory)
    assert (execution.policy, execution.jit_compile) == (policy, False)
    assert execution.reason.endswith("since nothing is timed with train.deterministic")
    assert probe.calls == []


def test_where_nothing_is_trained_it_computes_in_float32_and_times_nothing(memory):
    probe = Probe(bfloat16=0.1, xla=0.1)
    means = TrainSection(initial_weights=Path("a.keras"), fine_tuning={"head": "nearest_mean"})
    for device in (AMPERE, BF16_CPU):
        execution = choose_execution(means, device, probe, memory)
        assert (execution.policy, execution.jit_compile) == ("float32", False)
        assert execution.reason == f"{device.name}: nothing is trained"
    assert probe.calls == []


def test_a_measurement_is_remembered_and_not_made_twice(tmp_path):
    path = tmp_path / "probes.json"
    first, second = Probe(bfloat16=0.5, xla=3.0), Probe(bfloat16=9.0, xla=0.1)
    before = choose_execution(TrainSection(), BF16_CPU, first, ProbeMemory(path, "net"))
    again = choose_execution(TrainSection(), BF16_CPU, second, ProbeMemory(path, "net"))
    assert again == before
    assert second.calls == []
    assert first.calls == [
        ("mixed_bfloat16", False),
        ("float32", False),
        ("mixed_bfloat16", True),
        ("mixed_bfloat16", False),
    ]


def test_another_device_is_measured_for_itself(memory):
    choose_execution(TrainSection(), BF16_CPU, Probe(bfloat16=0.5), memory)
    other = Device("cpu", "newer Xeon", has_bf16=True)
    assert choose_execution(TrainSection(), other, Probe(bfloat16=2.0), memory).policy == "float32"


def test_a_flipped_bit_of_the_memory_decides_nothing(tmp_path):
    path = tmp_path / "probes.json"
    assert ProbeMemory(path, "net").ratio("a", lambda: 0.5) == 0.5
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert ProbeMemory(path, "net").ratio("a", lambda: 0.7) == 0.7


@pytest.mark.parametrize("content", ["", "{", "[1]", "5", '{"a": null}', '{"a": "x"}', "\x00"])
def test_a_damaged_memory_is_measured_anew_and_mended(tmp_path, content):
    path = tmp_path / "probes.json"
    path.write_text(content)
    assert ProbeMemory(path, "net").ratio("a", lambda: 0.5) == 0.5
    assert ProbeMemory(path, "net").ratio("a", lambda: 0.9) == 0.5
    assert list(read_sealed(path).values()) == [0.5]


def test_a_memory_that_cannot_be_written_only_forgets(tmp_path):
    (tmp_path / "file").write_text("")
    memory = ProbeMemory(tmp_path / "file" / "probes.json", "net")
    assert memory.ratio("a", lambda: 0.5) == 0.5
    assert memory.ratio("a", lambda: 0.9) == 0.9


def test_the_memory_lives_in_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine_memory("net").ratio("a", lambda: 0.5)
    assert (tmp_path / "evenkeel" / "probes.json").is_file()


def test_a_gpu_is_found_after_tensorflow_has_started(monkeypatch):
    tf.constant(1) + 1
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    details = {"device_name": "A100", "compute_capability": (8, 0)}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert find_device() == AMPERE


@pytest.mark.parametrize(
    ("flags", "has_bf16"),
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx512f", False)],
)
def test_bfloat16_instructions_are_read_from_the_processors_flags(tmp_path, flags, has_bf16):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert precision.cpu_has_bf16(cpuinfo) is has_bf16


def test_a_system_without_cpuinfo_has_no_known_bfloat16_instructions(tmp_path):
    assert not precision.cpu_has_bf16(tmp_path / "cpuinfo")


def test_the_probe_trains_under_the_policy_and_gives_seconds(tiny_model):
    created = []

    def create(policy):
        created.append(policy)
        return tiny_model

    before = tiny_model.get_weights()[0]
    seconds = step_probe(create, (6, 6, 1), 3, 8)("mixed_bfloat16", False)
    assert 0 < seconds < 10
    assert created == ["mixed_bfloat16"]
    assert not np.array_equal(before, tiny_model.get_weights()[0])
