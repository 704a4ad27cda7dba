"""Pins, second copies and what libraries need in turn, on made-up folders of libraries."""

import builtins

import pytest
from packaging import markers

from pipeline.doctor.packages import (
    REQUIREMENTS,
    Pin,
    examine_copies,
    examine_dependencies,
    examine_others,
    examine_pins,
    read_others,
    read_pins,
)

PINS = (Pin("tensorflow", "2.21.0"), Pin("keras", "3.15.1"))
TENSORFLOW = ("tensorflow/__init__.py", "tensorflow/python/x.py")


def test_each_line_of_requirements_is_a_pin_that_is_read():
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    wanted = [line.partition(";")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(map(str, (*read_pins(), *read_others()))) == sorted(wanted)


def test_a_pin_with_a_marker_counts_where_the_marker_holds(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# why\n-r other.txt\nhere==1.0 ; python_version >= '3.8'\n"
        "elsewhere==2.0; sys_platform == 'nowhere'  # never\nextra[more]==3.0 # said\n"
    )
    assert read_pins(file) == (Pin("here", "1.0"), Pin("extra", "3.0"))
    assert read_others(file) == (Pin("elsewhere", "2.0"),)


@pytest.mark.parametrize("system", ["linux aarch64", "darwin arm64", "win32 AMD64"])
def test_where_tflite_micro_is_not_made_it_is_not_missed(system, monkeypatch):
    platform, machine = system.split()
    there = {**markers.default_environment(), "sys_platform": platform, "platform_machine": machine}
    monkeypatch.setattr(markers, "default_environment", lambda: there)
    assert [pin.name for pin in read_others()] == ["tflite-micro"]
    assert "tflite-micro" not in [pin.name for pin in read_pins()]
    (finding,) = examine_others(read_others())
    assert finding.level == "ok"
    assert finding.found.startswith("not made for this system: tflite-micro; ")


def test_where_tflite_micro_is_made_it_is_missed_if_it_lacks(monkeypatch):
    there = {**markers.default_environment(), "sys_platform": "linux", "platform_machine": "x86_64"}
    monkeypatch.setattr(markers, "default_environment", lambda: there)
    assert "tflite-micro" in [pin.name for pin in read_pins()]
    assert [*examine_others(read_others())] == []


def test_libraries_as_pinned_are_well(site):
    site.add("tensorflow", "2.21.0")
    site.add("Keras", "3.15.1+local")
    (finding,) = examine_pins(PINS, site.path)
    assert (finding.level, finding.remedy) == ("ok", "")
    assert finding.found == "all 2 as pinned; tensorflow 2.21.0, keras 3.15.1+local"


def test_what_is_missing_fails_and_another_version_warns(site):
    site.add("keras", "3.9.0")
    missing, other = examine_pins(PINS, site.path)
    assert (missing.level, missing.found) == ("fail", "missing: tensorflow")
    assert (other.level, other.found) == ("warn", "not tested with keras 3.9.0 (pinned 3.15.1)")
    assert missing.remedy == other.remedy
    assert missing.remedy.endswith("-m pip install -r requirements.txt")


def test_many_that_are_missing_stand_on_one_line(site):
    (finding,) = examine_pins([Pin(f"lib{number}", "1") for number in range(20)], site.path)
    assert finding.found == "missing: lib0, lib1, lib2, lib3, lib4, lib5 and 14 more"


def test_tensorflow_for_processors_alone_does_in_its_place(site):
    site.add("tensorflow-cpu", "2.21.0")
    site.add("keras", "3.15.1")
    assert [finding.level for finding in examine_pins(PINS, site.path)] == ["ok"]


@pytest.mark.parametrize(
    "other",
    [
        ("tensorflow-cpu", "2.21.0"),
        ("tf-nightly", "2.22.0.dev1"),
        ("tensorflow-intel", "2.18.0"),
        ("tensorflow-gpu", "2.12.0"),
        ("tensorflow", "2.20.0"),  # left by an upgrade that was cut off
    ],
)
def test_two_distributions_with_a_tensorflow_folder_are_found(site, other):
    site.add("tensorflow", "2.21.0", owns=TENSORFLOW)
    site.add(*other, owns=TENSORFLOW)
    site.add("tensorflow-metadata", "1.0", owns=("tensorflow_metadata/__init__.py",))
    (finding,) = examine_copies(site.path)
    assert finding.level == "fail"
    assert finding.found.startswith("two copies of tensorflow, ")
    assert f"{other[0]} {other[1]}" in finding.found
    uninstall, install = finding.remedy.split(" && ")
    names = sorted({"tensorflow", other[0]})
    assert uninstall.endswith(f" -m pip uninstall -y {' '.join(names)}")
    assert install.endswith(" -m pip install -r requirements.txt")


def test_one_tensorflow_is_well(site):
    site.add("tensorflow", "2.21.0", owns=TENSORFLOW)
    site.add("keras", "3.15.1", owns=("keras/__init__.py",))
    assert [*examine_copies(site.path)] == []


def test_keras_2_beside_keras_3_is_told_of(site):
    site.add("tf_keras", "2.21.0")
    (finding,) = examine_copies(site.path)
    assert finding.level == "warn"
    assert finding.found == "tf_keras 2.21.0, which is Keras 2, beside Keras 3"
    assert finding.remedy.endswith(" -m pip uninstall -y tf_keras")


def test_what_a_library_needs_in_turn_is_looked_at(site):
    requires = ("protobuf>=6", "absl-py>=1; python_version > '3'", "cuda; extra == 'and-cuda'")
    site.add("tensorflow", "2.21.0", requires=(*requires, "not a [requirement"))
    site.add("keras", "3.15.1", requires=("rich",))
    site.add("rich", "15.0", requires=("markdown-it-py>=2",))
    site.add("protobuf", "5.29.0")
    (finding,) = examine_dependencies(PINS, site.path)
    assert finding.level == "fail"
    assert finding.found == (
        "tensorflow needs protobuf>=6, found 5.29.0, tensorflow needs absl-py, which is missing, "
        "rich needs markdown-it-py, which is missing"
    )


def test_needs_that_are_met_and_those_of_strangers_are_not_told_of(site):
    site.add("tensorflow", "2.21.0", requires=("protobuf>=6",))
    site.add("protobuf", "6.31.1", requires=("tensorflow",))
    site.add("stranger", "1.0", requires=("nothing-there",))
    assert [*examine_dependencies(PINS, site.path)] == []


def test_without_packaging_the_check_says_so(site, monkeypatch):
    real = builtins.__import__

    def block(name, *arguments):
        if name.startswith("packaging"):
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    site.add("tensorflow", "2.21.0", requires=("protobuf>=6",))
    monkeypatch.setattr(builtins, "__import__", block)
    (finding,) = examine_dependencies(PINS, site.path)
    assert finding.found == "TensorFlow needs packaging, which is missing"
