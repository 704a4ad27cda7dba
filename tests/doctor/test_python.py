"""Which Python does, and what of the shell does not."""

import pytest

from pipeline.doctor.python import examine_python, examine_variables


@pytest.mark.parametrize(
    ("version", "bits", "level", "words"),
    [
        ((3, 11), 64, "ok", ", 64-bit, in "),
        ((3, 12), 64, "ok", ", 64-bit, in "),
        ((3, 13), 64, "ok", ", 64-bit, in "),
        ((3, 14), 64, "warn", "; the pins are tested on 3.11 to 3.13"),
        ((3, 10), 64, "fail", "; 3.11 is needed"),
        ((3, 11), 32, "fail", "; TensorFlow needs 64-bit"),
    ],
)
def test_python_from_3_11_on_of_64_bits_is_expected(version, bits, level, words):
    (finding,) = examine_python(version, bits)
    assert finding.level == level
    assert words in finding.found
    assert finding.remedy.startswith("python3.11 -m venv .venv && ") == (level != "ok")


def test_libraries_that_other_programs_share_are_told_of(monkeypatch):
    monkeypatch.setattr("sys.base_prefix", "/usr")
    monkeypatch.setattr("sys.prefix", "/usr")
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    (finding,) = examine_python((3, 11))
    assert finding.level == "warn"
    assert "in no virtual environment" in finding.found


def test_a_variable_that_brings_another_keras_is_a_failure():
    found = [*examine_variables({"KERAS_BACKEND": "jax", "TF_USE_LEGACY_KERAS": "1"})]
    assert [(f.level, f.remedy) for f in found] == [
        ("fail", "unset KERAS_BACKEND"),
        ("fail", "unset TF_USE_LEGACY_KERAS"),
    ]
    assert "KERAS_BACKEND is 'jax'" in found[0].found


def test_variables_as_they_should_be_are_not_told_of():
    assert [*examine_variables({"KERAS_BACKEND": "tensorflow", "TF_USE_LEGACY_KERAS": "0"})] == []


def test_windows_is_told_its_own_command(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    (finding,) = examine_python((3, 10))
    assert finding.remedy == (
        "py -3.11 -m venv .venv && .venv\\Scripts\\python -m pip install -r requirements.txt"
    )
