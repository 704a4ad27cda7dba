"""ONNX files for one image at a time and with channels first, and whoever feeds them."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.tools.mobile_helpers import usability_checker
from PIL import Image

from export.deployment import render
from export.verification import golden, golden_replay
from export.verification.golden import Answers
from pipeline.data.images.types import LabelledImages
from tests.export import networks

ONNX = ("onnx", "onnx_int8")


def small(inside):
    return keras.layers.MaxPooling2D()(keras.layers.ReLU()(inside))


def written(folder, **options):
    folder.mkdir(exist_ok=True)
    network = networks.Network(networks.network(small), folder, dict.fromkeys(ONNX, options))
    return network, {name: network.write(name) for name in ONNX}


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_a_file_answers_as_keras_however_it_takes_images(batch, layout, tmp_path):
    network, wrong = written(tmp_path, batch=batch, layout=layout)
    assert wrong == {name: {} for name in ONNX}
    sizes = {"nhwc": [8, 8, 3], "nchw": [3, 8, 8]}[layout]
    for name in ONNX:
        (taken,) = onnxruntime.InferenceSession(network.path(name)).get_inputs()
        assert taken.shape == [batch, *sizes]
    np.testing.assert_allclose(network.answers("onnx"), network.keras_answers, atol=1e-5)
    np.testing.assert_allclose(network.answers("onnx_int8"), network.keras_answers, atol=0.05)
    model = onnx.shape_inference.infer_shapes(onnx.load(network.path("onnx")))
    taken = usability_checker.check_nnapi_partitions(model, require_fixed_input_sizes=True)
    assert taken.num_supported_nodes == (taken.num_nodes if batch == 1 else 0)


def test_int8_takes_images_as_float32_does_unless_it_is_told_otherwise(tmp_path):
    from export.onnx.exporter import Int8Options, OnnxOptions
    from pipeline.config.schema import ExportSection

    class Section(ExportSection):
        onnx: OnnxOptions = OnnxOptions(batch=1, layout="nchw")

    section = Section(formats=("onnx_int8",))
    chosen = Int8Options(layout="nhwc").completed(section)
    assert (chosen.batch, chosen.layout) == (1, "nhwc")
    assert Int8Options().completed(section).layout == "nchw"


def test_int8_can_take_images_in_another_way_than_float32(tmp_path):
    one = {"batch": 1, "layout": "nchw"}
    network = networks.Network(networks.network(small), tmp_path, {"onnx_int8": one})
    assert network.write("onnx") == {}
    assert network.write("onnx_int8") == {}
    np.testing.assert_allclose(network.answers("onnx_int8"), network.keras_answers, atol=0.05)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """What a user gets who asked for one image at a time, with channels first."""
    root = tmp_path_factory.mktemp("turned")
    network, _ = written(root / "export", batch=1, layout="nchw")
    only = {name: network.contract.formats[name] for name in ONNX}
    promised = replace(network.contract, formats=only)
    render.render(promised, root / "export")
    labels = np.arange(len(network.images)) % networks.CLASSES
    given = {name: Answers(network.answers(name), "here") for name in ONNX}
    choices = golden.choose(given["onnx"].probabilities, labels)
    test = LabelledImages(network.images, labels)
    golden.write(root / "golden", test, given, promised, choices)
    return root, network


def test_golden_inputs_are_the_bytes_that_the_file_takes(shipped):
    root, network = shipped
    record = json.loads((root / "golden" / "golden.json").read_text("utf-8"))
    entry = record["formats"]["onnx"]["input"]
    assert entry["file"] == "inputs/float32-nchw.bin"
    assert entry["shape"] == [32, 3, 8, 8]
    stored = np.fromfile(root / "golden" / entry["file"], "<f4").reshape(entry["shape"])
    first = network.images[record["images"][0]["test_index"]]
    np.testing.assert_array_equal(stored[0, 1], first[..., 1])


@pytest.mark.parametrize("name", ONNX)
def test_the_golden_images_agree_when_they_are_asked_again(shipped, name):
    root, network = shipped
    replay = golden_replay.replay(root / "golden", name, network.path(name))
    assert (replay.images, replay.wrong) == (32, ())


@pytest.fixture
def picture(shipped, tmp_path):
    """A picture of the model's own size, and Keras' answer to it."""
    _, network = shipped
    Image.fromarray(network.images[3]).save(tmp_path / "picture.png")
    return tmp_path / "picture.png", network.keras_answers[3]


def test_the_python_example_feeds_them(shipped, picture):
    root, _ = shipped

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "error", "runtimes/python/classify_onnx.py", *arguments],
            cwd=root / "export",
            capture_output=True,
            text=True,
        )

    done = run("--check", root / "golden")
    assert done.stdout.startswith("32 of 32 agree"), done.stderr
    file, expected = picture
    label = networks.LABELS[expected.argmax()]
    assert run(file).stdout == f"{file}: {label} ({expected.max():.1%})\n"


def test_the_node_example_feeds_them(shipped, picture, tool, node_modules, tmp_path):
    root, _ = shipped
    export = shutil.copytree(root / "export", tmp_path / "export")
    folder = export / "runtimes" / "node"
    (folder / "node_modules").symlink_to(node_modules("export/runtimes/node"))

    def run(*arguments):
        command = [tool("node"), "classify.mjs", *map(str, arguments)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)

    done = run("--check", root / "golden")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": agrees") == 2
    file, expected = picture
    first, second, *_ = run(file).stdout.splitlines()
    assert first == networks.LABELS[expected.argmax()]
    assert float(second.split()[0]) == pytest.approx(expected.max(), abs=1e-5)


def test_the_page_feeds_them(shipped, drive, served):
    root, _ = shipped
    with served(root / "export", root / "golden") as address:
        _, state = drive(address, ("check", None))
    assert state["check"].startswith("32 of 32 agree"), state["check"]
