"""Why TensorFlow does not see a card that is there, on made-up machines."""

import ctypes.util
from importlib import metadata

import pytest

from pipeline.doctor.gpu import (
    LIBRARIES,
    examine_graphics,
    failing_libraries,
    find_card,
    find_driver,
)

SEES = {"version": "2.21.0", "gpus": [], "is_cuda_build": True, "failing_libraries": {}}
PCI = {
    "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
    "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
}
INFORMATION = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 11\n"
CARD = {
    "proc/driver/nvidia/gpus/0000:01:00.0/information": INFORMATION,
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "
    "550.54.14  Release Build\nGCC version: 12.2.0\n",
}
OLD = {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  x"}


def found(root, environment=None, log="", **sees):
    (finding,) = examine_graphics({**SEES, **sees}, log, root, environment or {})
    return finding


def test_a_gpu_that_tensorflow_sees_is_named(machine):
    finding = found(machine(CARD), gpus=["NVIDIA H100 (compute capability 9.0)"])
    assert (finding.level, finding.found) == ("ok", "NVIDIA H100 (compute capability 9.0)")


def test_no_card_is_well(machine):
    sound_card = {name: text.replace("0x03", "0x04") for name, text in PCI.items()}
    finding = found(machine(sound_card))
    assert (finding.level, finding.remedy) == ("ok", "")
    assert finding.found == "no NVIDIA card here; training uses the processor"


@pytest.mark.parametrize(
    "files", [PCI, CARD, {"dev/nvidia0": ""}, {"usr/lib/wsl/lib/libcuda.so.1": ""}]
)
def test_a_card_is_found_with_and_without_its_driver(machine, files):
    assert find_card(machine(files)) == (
        "NVIDIA H100 80GB HBM3" if files is CARD else "an NVIDIA card"
    )


def test_the_version_of_either_kind_of_driver_is_read(machine):
    assert find_driver(machine(CARD)) == (550, 54)
    assert find_driver(machine(OLD)) == (470, 82)
    assert find_driver(machine({"proc/driver/nvidia/version": ""})) is None


def test_libraries_that_do_not_load_are_named(machine):
    missing = {"libcudnn.so.9": "cannot open", "libcufft.so.11": "cannot open"}
    finding = found(machine(CARD), failing_libraries=missing)
    assert finding.level == "warn"
    assert finding.found == (
        "NVIDIA H100 80GB HBM3 is here, but not used: libcudnn.so.9, libcufft.so.11 do not load"
    )
    assert finding.remedy.endswith(" -m pip install 'tensorflow[and-cuda]==2.21.0'")


def test_a_missing_driver_comes_before_the_libraries(machine):
    finding = found(machine(PCI), failing_libraries=dict.fromkeys(LIBRARIES, "cannot open"))
    assert "libcuda.so.1, of NVIDIA's driver, does not load" in finding.found
    assert "ubuntu-drivers install" in finding.remedy


def test_in_a_container_the_host_lends_its_driver(machine):
    root = machine({**PCI, ".dockerenv": ""})
    finding = found(root, failing_libraries={"libcuda.so.1": "cannot open"})
    assert "docker run --gpus all" in finding.remedy


def test_a_driver_too_old_for_cuda_is_told_of(machine):
    finding = found(machine({**CARD, **OLD}))
    assert "its driver 470.82 is too old for CUDA 12" in finding.found


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_variable_that_hides_the_card_is_told_of(machine, value):
    finding = found(machine(CARD), {"CUDA_VISIBLE_DEVICES": value})
    assert f"CUDA_VISIBLE_DEVICES={value!r} hides it" in finding.found
    assert finding.remedy == "unset CUDA_VISIBLE_DEVICES"


def test_a_tensorflow_without_cuda_is_exchanged(machine):
    finding = found(machine(CARD), is_cuda_build=False)
    assert "this TensorFlow is built without CUDA" in finding.found
    assert "uninstall -y tensorflow-cpu tensorflow && " in finding.remedy


def test_otherwise_tensorflow_has_the_word(machine):
    log = (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "E0000 00:00:1795366404.144514   16163 cuda_platform.cc:52] failed call to cuInit: "
        "UNKNOWN ERROR (303)\n"
        "I0000 00:00:1795366404.144515   16163 port.cc:153] oneDNN custom operations are on.\n"
    )
    finding = found(machine(CARD), log=log)
    assert "TensorFlow says 'failed call to cuInit: UNKNOWN ERROR (303)'" in finding.found
    assert "nvidia-smi" in finding.remedy
    assert "TensorFlow does not say why" in found(machine(CARD)).found


def test_where_tensorflow_does_not_load_the_card_cannot_be_judged(machine):
    (finding,) = examine_graphics({}, "", machine(CARD), {})
    assert finding.level == "warn"
    assert "TensorFlow does not load" in finding.found


def test_a_library_is_looked_for_where_pip_puts_it_then_in_the_system(tmp_path):
    folder = tmp_path / "nvidia" / "cudnn" / "lib"
    folder.mkdir(parents=True)
    (folder / "libdamaged.so.1").write_text("no library")
    there = ctypes.util.find_library("c")
    failing = failing_libraries([there, "libdamaged.so.1", "libnone.so.1"], [str(tmp_path)])
    assert [*failing] == ["libdamaged.so.1", "libnone.so.1"]
    assert str(folder / "libdamaged.so.1") in failing["libdamaged.so.1"]
    assert failing["libnone.so.1"].startswith("libnone.so.1: cannot open shared object file")


def test_the_libraries_are_those_of_the_pinned_tensorflow():
    required = [text for text in metadata.requires("tensorflow") or () if "and-cuda" in text]
    packages = {text.partition("<")[0].removesuffix("-cu12") for text in required}
    assert {"nvidia-cudnn", "nvidia-cufft", "nvidia-cusolver"} <= packages
    assert all("-cu12" in text for text in required)
