"""The real stages on a few images, killed again and again at random instants.

What comes out is compared with a run that was left alone: byte for byte where the bytes do not hold
the time, else tensor by tensor.
"""

import json
import os
import random
import re
import signal
import time
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.core.plugins import ROOT
from pipeline.workflow import graph
from tests.faults import harness

SMALL = (
    "data.train_limit=300",
    "data.test_limit=60",
    "model.preset=two_conv",
    "train.epochs=3",
    "train.batch_size=50",
    "train.deterministic=true",
    "train.checkpoint_every_steps=2",
    "tune.max_trials=2",
    "tune.space={train.learning_rate: {log: [1e-3, 1e-2]}}",
    "export.formats=[saved_model, tflite_float32, tflite_int8, onnx]",
    "export.calibration.images=20",
    "verify.microcontroller_images=0",
    "verify.gates={tflite_int8: {max_accuracy_drop_points: 100}}",
)
ADDRESS = re.compile(rb'"shared_object_id": \d+')
MARK = "EVENKEEL_FAULTS"
SEED = 0
ENDINGS, SLOW = 30, {"tune", "train", "export", "verify"}
CHILD_OUTLIVES_SECONDS = 5
TIMED = ("seconds", "report.html", "verdict.html", "verdict.json", "fingerprint.pb", "events.out.")


@pytest.fixture(scope="module")
def server():
    os.environ[MARK] = str(os.getpid())
    try:
        with harness.serving("tests.faults.real") as server:
            yield server
    finally:
        del os.environ[MARK]


def call(artifacts):
    return ("run", "-c", ROOT / "configs" / "smoke.yaml", "--artifacts", artifacts, *SMALL)


def contents(folder):
    """What every stage made, by the names of files, without times."""
    found = {}
    for path in sorted(folder.glob("[!.]*/*/**/*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != "runs" and not any(t in path.name for t in TIMED):
            found[str(name)] = content(path)
    return found


def content(path):
    if path.name == "manifest.json":
        manifest = json.loads(path.read_text())
        return {key: manifest[key] for key in ("stage", "key", "ingredients", "summary")}
    if path.name == "history.csv":
        return [row.rpartition(",")[0] for row in path.read_text().splitlines()]  # but its seconds
    if path.suffix == ".keras":
        return keras_content(path.read_bytes())
    if path.name.startswith(("saved_model.pb", "variables.")):
        return variables(path) if path.name == "variables.index" else None
    return path.read_bytes()


def keras_content(data):
    with zipfile.ZipFile(BytesIO(data)) as archive:
        with h5py.File(BytesIO(archive.read("model.weights.h5"))) as file:
            tensors = {}
            file.visititems(
                lambda name, each: (
                    tensors.update({name: np.asarray(each).tobytes()})
                    if isinstance(each, h5py.Dataset)
                    else None
                )
            )
        assert tensors
        return ADDRESS.sub(b"", archive.read("config.json")), tensors


def variables(index):
    """All tensors of a SavedModel, which numbers them in another order each time."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return sorted(np.asarray(reader.get_tensor(name)).tobytes() for name in names)


def children():
    """The processes that a run started and that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            mine = f"{MARK}={os.getpid()}".encode() in path.read_bytes().split(b"\0")
            line = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if mine and b"pipeline.core.child_process" in line:
            found.append(int(path.parent.name))
    return found


def await_no_children():
    deadline = time.monotonic() + CHILD_OUTLIVES_SECONDS
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() == []


@pytest.fixture(scope="module")
def reference(server, tmp_path_factory):
    """What a run that is left alone makes, and how long it takes."""
    folder = tmp_path_factory.mktemp("reference")
    began = time.monotonic()
    ended = server.run(*call(folder))
    assert (ended.code, ended.err) == (0, "")
    return contents(folder), time.monotonic() - began


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_ended_at_random_instants_again_and_again_it_comes_out_the_same(
    server, tmp_path, record_property, reference, number
):
    draw, fired, rounds = random.Random(SEED), Counter(), 0
    expected, seconds = reference
    wait = seconds / len(graph.NAMES)
    while fired.total() < ENDINGS or not set(fired) >= SLOW:
        folder, rounds = tmp_path / str(rounds), rounds + 1
        while True:
            process = server.start("run", *call(folder))
            stop(server, process, number, draw.uniform(0, 2 * wait))
            ended = server.end()
            await_no_children()
            if (ended.signal, ended.code) == (0, 0):
                break
            assert ended.signal == number or ended.code == 128 + number, ended
            fired[ended.stage or "the start"] += 1
            wait *= 1.1  # so that a stage that takes long comes to its end at last
        wait = seconds / len(graph.NAMES)
        assert contents(folder) == expected
    for stage, count in fired.items():
        record_property(f"{number.name} at random instants: {stage} (real)", count)


def stop(server, process, number, seconds):
    """Signals the group after so long, unless the try has ended by then."""
    server.await_beginning()
    time.sleep(seconds)
    os.killpg(process, number)


@pytest.mark.long
@pytest.mark.parametrize("stage", ["export", "verify"])
def test_a_killed_child_is_told_or_made_up_for(server, tmp_path, record_property, reference, stage):
    server.start("run", *call(tmp_path))
    while server.stage != stage or not children():
        time.sleep(0.05)
    os.kill(children()[0], signal.SIGKILL)
    ended = server.end()
    assert ended.signal == 0
    assert "Traceback" not in ended.out + ended.err
    assert ended.code in (0, 1, 3), ended
    if ended.code:
        assert "killed by SIGKILL" in ended.err + ended.out, ended
    again = server.run(*call(tmp_path))
    assert (again.code, again.err) == (0, "")
    assert contents(tmp_path) == reference[0]
    record_property(f"SIGKILL of a child of {stage} (real)", 1)
