"""Libraries that do not load, made up as modules that children import."""

import pytest

from pipeline.doctor import imports
from pipeline.doctor.imports import Loaded, examine_imports, examine_keras_settings, load
from pipeline.doctor.packages import Pin, read_pins

LIGHT = {"pydantic", "PyYAML", "typer", "rich", "filelock", "fsspec"}
BROKEN = {
    "doctor_sound": "",
    "doctor_crashes": "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
    "doctor_exits": "raise SystemExit('I end here')",
    "doctor_lacks": "raise ImportError('libgomp.so.1: cannot open shared object file: No such')",
    "doctor_prints": "print('{not an answer}')",
}
# Stands in for TensorFlow: loads, but ends the process when it is asked for devices.
FAKE_TENSORFLOW = """
import os, types
sysconfig = types.SimpleNamespace(get_build_info=lambda: os.kill(os.getpid(), 11))
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes modules that children can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
        return tuple(texts)

    return write


def test_every_pinned_library_is_loaded_but_those_that_this_program_runs_on():
    assert {pin.name for pin in read_pins()} == set(imports.MODULES) | LIGHT


def test_each_library_that_does_not_load_is_named_and_the_others_are_loaded(modules):
    told = set()
    loaded = load((*modules(BROKEN), "doctor_nowhere", "json"), told.add)
    assert told <= {"", *BROKEN, "doctor_nowhere", "json"}
    assert loaded.failures == {
        "doctor_crashes": "was killed by SIGILL",
        "doctor_exits": "SystemExit: I end here",
        "doctor_lacks": "ImportError: libgomp.so.1: cannot open shared object file: No such",
        "doctor_nowhere": "ModuleNotFoundError: No module named 'doctor_nowhere'",
    }
    assert loaded.sees == {}


def test_a_tensorflow_that_crashes_at_its_devices_is_told_of(modules):
    names = modules({"tensorflow": FAKE_TENSORFLOW, "doctor_builds_on_it": "import tensorflow"})
    assert load(names).failures == {"tensorflow": "was killed by SIGSEGV"}


def test_a_library_that_never_ends_loading_is_stopped(modules, monkeypatch):
    monkeypatch.setattr(imports, "TIMEOUT_SECONDS", 1.0)
    told = []
    waits = "import threading; threading.Event().wait()"
    loaded = load(modules({"doctor_waits": waits}), told.append)
    assert told[-1] == "doctor_waits"
    assert loaded.failures == {"doctor_waits": "did not end in time"}


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("was killed by SIGILL", "give it the host's (QEMU: -cpu host)"),
        ("was killed by SIGSEGV", " -m pip install --force-reinstall --no-deps scipy==1.17.1"),
        ("ImportError: undefined symbol: x", " install --force-reinstall --no-deps scipy==1.17.1"),
        ("ImportError: libgomp.so.1: cannot open shared object file", "search libgomp.so.1 names"),
        ("ImportError: x.so: failed to map segment from shared object", "ulimit -v unlimited; "),
        ("ModuleNotFoundError: No module named 'x'", " -m pip install -r requirements.txt"),
        ("did not end in time", "call doctor again"),
    ],
)
def test_the_remedy_is_that_of_the_cause(why, remedy):
    pins = (Pin("numpy", "2.4.6"), Pin("scipy", "1.17.1"), Pin("rich", "15.0.0"))
    (finding,) = examine_imports(pins, Loaded({"scipy": why}, {}, ""))
    assert finding.level == "fail"
    assert finding.found == f"scipy does not load: {why}"
    assert remedy in finding.remedy


def test_libraries_that_load_are_counted():
    pins = (Pin("numpy", "2.4.6"), Pin("scipy", "1.17.1"), Pin("rich", "15.0.0"))
    (finding,) = examine_imports(pins, Loaded({}, {}, ""))
    assert (finding.level, finding.found) == ("ok", "all 2 libraries load")
    assert [*examine_imports(pins[2:], Loaded({}, {}, ""))] == []


def test_a_keras_json_that_changes_models_is_told_of():
    sees = {"image_data_format": "channels_first", "floatx": "float32", "keras_home": "/my home"}
    (finding,) = examine_keras_settings(sees)
    assert finding.level == "fail"
    assert finding.found.startswith("/my home/keras.json says image_data_format is channels_first")
    assert finding.remedy == "mv '/my home/keras.json' '/my home/keras.json.old'"
    assert [*examine_keras_settings({"floatx": "float32"})] == []
