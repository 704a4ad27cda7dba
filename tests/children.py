"""What children of the tests run; imported there by name, never here."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from export.convert import Conversion
from export.formats.format import formats
from export.verification import measure


def noisy(argument):
    os.write(1, b"a converter prints\n")
    yield argument["answer"] + 1


def yields_then_dies(argument):
    yield from argument
    os.kill(os.getpid(), signal.SIGSEGV)


def starts_a_sleeper(argument):
    subprocess.Popen(["sleep", argument])
    yield "started"
    time.sleep(60)


def writes_its_id_and_sleeps(argument):
    Path(argument).write_text(f"{os.getpid()}\n")
    time.sleep(60)
    yield "awake"


def loses_float16(requests, lost="tflite_float16"):
    """Writes each format, but is killed whenever it comes to one."""
    for request in requests:
        path = Path(request["folder"]) / formats()[request["format_name"]].path
        with path.open("a") as file:
            file.write("written\n")
        if request["format_name"] == lost:
            os.kill(os.getpid(), signal.SIGKILL)
        yield asdict(Conversion(request["format_name"]))


def loses_float32(requests):
    yield from loses_float16(requests, "tflite_float32")


def hangs_at_float16(requests):
    yield from loses_float16([r for r in requests if "float16" not in r["format_name"]])
    if any("float16" in request["format_name"] for request in requests):
        time.sleep(60)


def fails_at_onnx(requests):
    for request in requests:
        name = request["format_name"]
        yield asdict(Conversion(name, "no such operator" if name == "onnx" else ""))


def modules_after_measuring(argument):
    for speed in measure.measure(argument):
        yield {"speed": speed, "modules": sorted(sys.modules)}
