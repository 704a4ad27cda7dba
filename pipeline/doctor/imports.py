"""Whether the libraries load, each tried in a child process that a crash may take."""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.command_hints import install_pins, pip
from pipeline.doctor import children
from pipeline.doctor.finding import Finding
from pipeline.doctor.packages import Pin

# The module of each pinned library; those that this program itself runs on are left out.
MODULES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "matplotlib": "matplotlib",
    "Jinja2": "jinja2",
    "pillow": "PIL.Image",
    "flatbuffers": "flatbuffers",
    "psutil": "psutil",
    "importlib_resources": "importlib_resources",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-micro": "tflite_micro",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tensorboard": "tensorboard",
    "tensorflow-datasets": "tensorflow_datasets",
    "keras-tuner": "keras_tuner",
    "grpcio": "grpc",
    "tf2onnx": "tf2onnx",
    "litert-quantizer": "litert_quantizer",
}
TIMEOUT_SECONDS = 240.0
SHARED_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
NO_MEMORY = ("failed to map segment", "cannot allocate memory", "MemoryError", "std::bad_alloc")
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "KERAS_BACKEND": "tensorflow",
}


@dataclass(frozen=True)
class Loaded:
    """How loading went.

    Attributes:
        failures: by module, in words.
        sees: what TensorFlow sees, as the probe says it; empty where it did not load.
        log: what the libraries wrote to standard error.
    """

    failures: Mapping[str, str]
    sees: Mapping[str, Any]
    log: str


def load(modules: Sequence[str], loading: Callable[[str], None] = lambda module: None) -> Loaded:
    """Loads the modules in a child; in another one those after a module that ended it.

    Args:
        modules: in the order in which they are loaded.
        loading: is now and then told which one is.
    """
    failures: dict[str, str] = {}
    sees: dict[str, Any] = {}
    log, remaining = "", tuple(modules)
    while remaining:
        ended = children.run(
            [sys.executable, "-m", "pipeline.doctor.probe", str(os.getpid()), *remaining],
            timeout_seconds=TIMEOUT_SECONDS,
            environment=ENVIRONMENT,
            while_waiting=lambda out: loading(_begun(out)),
        )
        log += ended.err
        lines = _answers(ended.out)
        failures |= {line["module"]: line["failure"] for line in lines if line.get("failure")}
        sees |= next((line["sees"] for line in lines if "sees" in line), {})
        culprit = lines[-1].get("begins") if lines else remaining[0]
        if not culprit:
            break
        failures[culprit] = ended.how
        if culprit not in remaining:
            break  # TensorFlow loads, but crashes when it looks for devices
        remaining = remaining[remaining.index(culprit) + 1 :]
    return Loaded(failures, sees, log)


def _answers(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines() if line.endswith("}")]


def _begun(out: str) -> str:
    """The module that is being loaded."""
    begun = [answer["begins"] for answer in _answers(out) if "begins" in answer]
    return begun[-1] if begun else ""


def examine_imports(pins: Sequence[Pin], loaded: Loaded) -> Iterator[Finding]:
    """One finding for each library that does not load, or one that all do."""
    tried = [pin for pin in pins if pin.name in MODULES]
    failed = [pin for pin in tried if MODULES[pin.name] in loaded.failures]
    for pin in failed:
        why = loaded.failures[MODULES[pin.name]]
        found = f"{pin.name} does not load: {why}"
        yield Finding("imports", "fail", found, _remedy(pin, why))
    if tried and not failed:
        yield Finding("imports", "ok", f"all {len(tried)} libraries load")


def _remedy(pin: Pin, why: str) -> str:
    if "SIGILL" in why:
        return (
            "use a processor with AVX; in a virtual machine, give it the host's (QEMU: -cpu host)"
        )
    if any(words in why for words in NO_MEMORY):
        return "ulimit -v unlimited; if that does not do, close other programs"
    if "in time" in why:
        return "call doctor again when the machine and its disk are less busy"
    if match := SHARED_LIBRARY.search(why):
        return (
            f"apt-get install apt-file && apt-file update && apt-file search {match[1]} "
            "names the system's package to install"
        )
    if why.startswith("ModuleNotFoundError"):
        return install_pins()
    return pip("install", "--force-reinstall", "--no-deps", str(pin))


def examine_keras_settings(sees: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the user's keras.json changes what models are made of; none where it does not."""
    expected = {"image_data_format": "channels_last", "floatx": "float32"}
    for name, value in expected.items():
        if sees.get(name, value) != value:
            file = f"{sees['keras_home']}/keras.json"
            found = f"{file} says {name} is {sees[name]}; models here need {value}"
            yield Finding("Keras", "fail", found, shlex.join(["mv", file, f"{file}.old"]))
