import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import onnx
import pytest
from PIL import Image

from export.deployment import render
from export.formats.format import exporter
from pipeline.inference.pictures import prepare


@pytest.fixture(scope="session")
def classify(tool, node_modules, shipped, tmp_path_factory):
    """Runs the rendered example with its packages beside it, as `npm ci` would leave them."""
    export = shutil.copytree(shipped.export, tmp_path_factory.mktemp("node") / "export")
    folder = export / "runtimes" / "node"
    (folder / "node_modules").symlink_to(node_modules("export/runtimes/node"))

    def run(*arguments):
        return subprocess.run(
            [tool("node"), "classify.mjs", *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def golden_copy(shipped, tmp_path):
    return shutil.copytree(shipped.golden, tmp_path / "golden")


def largest_differences(output):
    """By format, as the example prints them."""
    lines = [line.replace(",", "").replace(":", "").split() for line in output.splitlines()]
    return {words[0]: float(words[4]) for words in lines}


def test_golden_vectors_agree_with_python(classify, shipped):
    done = classify("--check", shipped.golden)
    assert done.returncode == 0, done.stderr
    differences = largest_differences(done.stdout)
    assert set(differences) == {"onnx", "onnx_int8"}
    assert differences["onnx"] <= 1e-5


@pytest.mark.parametrize("name", ["onnx", "onnx_int8"])
def test_one_wrong_expectation_ends_with_exit_code_1(classify, golden_copy, name):
    file = golden_copy / "expected" / f"{name}.bin"
    expected = np.fromfile(file, "<f4")
    expected[-1] += 0.02
    expected.tofile(file)
    done = classify("--check", golden_copy)
    assert done.returncode == 1
    assert f"{name}: DISAGREES, largest difference 2.0e-2" in done.stdout


def test_an_expectation_that_is_no_number_disagrees(classify, golden_copy):
    file = golden_copy / "expected" / "onnx.bin"
    np.append(np.float32(np.nan), np.fromfile(file, "<f4")[1:]).astype("<f4").tofile(file)
    done = classify("--check", golden_copy)
    assert done.returncode == 1
    assert "onnx: DISAGREES, largest difference NaN" in done.stdout


def test_a_missing_expectation_disagrees(classify, golden_copy):
    file = golden_copy / "expected" / "onnx.bin"
    np.fromfile(file, "<f4")[:-1].tofile(file)
    done = classify("--check", golden_copy)
    assert done.returncode == 1
    assert "onnx: DISAGREES" in done.stdout


def test_golden_vectors_of_another_model_are_refused(classify, golden_copy):
    file = golden_copy / "golden.json"
    record = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(record | {"model_key": "f" * 16}), "utf-8")
    done = classify("--check", golden_copy)
    assert done.returncode == 2
    assert "is of model ffffffffffffffff, expected 0000000000000000" in done.stderr


@pytest.mark.parametrize("kind", ["png", "bin"])
def test_a_picture_gets_the_label_and_probabilities_that_python_gives(
    classify, shipped, exported, tmp_path, kind
):
    pixels = exported.images[5]
    file = tmp_path / f"picture.{kind}"
    if kind == "png":
        Image.fromarray(pixels[..., 0]).save(file)
    else:
        file.write_bytes(pixels.tobytes())
    predictor = exporter("onnx").load(exported.path("onnx"), 1)
    expected = predictor.run(pixels[None].astype(np.float32))[0]
    done = classify(file)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    given = {label: float(probability) for probability, label in map(str.split, rest)}
    labels = shipped.contract.output.labels
    assert first == labels[expected.argmax()]
    assert given == pytest.approx(dict(zip(labels, expected.tolist(), strict=True)), abs=1e-5)
    assert list(given.values()) == sorted(given.values(), reverse=True)


def test_a_picture_of_another_size_is_refused_with_the_size_it_needs(classify, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "large.png")
    done = classify(tmp_path / "large.png")
    assert done.returncode == 2
    assert "is 28 x 28 pixels, expected 10 x 12" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "give a file"), (["--check"], "give a file"), (["none.png"], "no such file")],
)
def test_a_wrong_call_is_told(classify, arguments, message):
    done = classify(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_colour_picture_turns_grey_as_pillow_does(classify, tmp_path):
    colours = np.random.default_rng(3).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.png")
    Image.fromarray(colours).convert("L").save(tmp_path / "grey.png")
    colour, grey = classify(tmp_path / "colour.png"), classify(tmp_path / "grey.png")
    assert colour.stdout == grey.stdout != ""


def test_of_colour_it_makes_grey_first_where_the_model_was_trained_on_it(
    tool, node_modules, shipped, tmp_path
):
    """A model that takes three channels and answers by the first alone tells them apart."""
    helper, weights = onnx.helper, np.zeros((12 * 10 * 3, 4), np.float32)
    weights[::3] = np.random.default_rng(5).normal(0, 0.001, (120, 4))
    float32, shape = onnx.TensorProto.FLOAT, (12, 10, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "model",
        [helper.make_tensor_value_info("image", float32, ["N", *shape])],
        [helper.make_tensor_value_info("probabilities", float32, ["N", 4])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save_model(
        helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "model.onnx"
    )
    formats = {"onnx": shipped.contract.formats["onnx"]}
    taken = replace(shipped.contract.input, shape=shape, colour="rgb", trained_colour="grey")
    render.render(replace(shipped.contract, formats=formats, input=taken), tmp_path)
    folder = tmp_path / "runtimes" / "node"
    (folder / "node_modules").symlink_to(node_modules("export/runtimes/node"))
    colours = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "colour.png")
    done = subprocess.run(
        [tool("node"), "classify.mjs", str(tmp_path / "colour.png")],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    grey = np.asarray(Image.fromarray(colours).convert("L"), np.float64)
    powers = np.exp(grey.ravel() @ weights[::3])
    given = {label: float(p) for p, label in map(str.split, done.stdout.splitlines()[1:])}
    labels = shipped.contract.output.labels
    expected = dict(zip(labels, powers / powers.sum(), strict=True))
    assert given == pytest.approx(expected, abs=1e-5)


def test_without_the_float_format_the_int8_one_answers(
    tool, node_modules, shipped, exported, tmp_path
):
    formats = {"onnx_int8": shipped.contract.formats["onnx_int8"]}
    render.render(replace(shipped.contract, formats=formats), tmp_path)
    shutil.copy(exported.path("onnx_int8"), tmp_path)
    folder = tmp_path / "runtimes" / "node"
    (folder / "node_modules").symlink_to(node_modules("export/runtimes/node"))
    done = subprocess.run(
        [tool("node"), "classify.mjs", "--check", str(shipped.golden)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(largest_differences(done.stdout)) == ["onnx_int8"]


@pytest.fixture(scope="module")
def classify_ink(tool, node_modules, shipped_of_ink, tmp_path_factory):
    export = shutil.copytree(shipped_of_ink.export, tmp_path_factory.mktemp("node") / "export")
    folder = export / "runtimes" / "node"
    (folder / "node_modules").symlink_to(node_modules("export/runtimes/node"))

    def run(*arguments):
        call = [tool("node"), "classify.mjs", *map(str, arguments)]
        return subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=60)

    return run


def test_ink_is_found_in_a_picture_of_any_size(classify_ink, shipped_of_ink, exported, tmp_path):
    sheet = np.full((90, 150, 3), (235, 230, 210), np.uint8)
    sheet[40:70, 30:36] = sheet[64:70, 30:50] = (20, 60, 120)
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    promised = shipped_of_ink.contract
    pixels, _ = prepare(Image.fromarray(sheet), promised.input, "auto")
    predictor = exporter("onnx").load(exported.path("onnx"), 1)
    expected = predictor.run(pixels[None].astype(np.float32))[0].tolist()
    done = classify_ink(tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    given = {label: float(p) for p, label in map(str.split, done.stdout.splitlines()[1:])}
    labels = promised.output.labels
    assert given == pytest.approx(dict(zip(labels, expected, strict=True)), abs=1e-5)


def test_a_check_prepares_the_golden_pictures_of_ink(classify_ink, shipped_of_ink, tmp_path):
    done = classify_ink("--check", shipped_of_ink.golden)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "8 of 8 pictures prepared alike"
    copy = shutil.copytree(shipped_of_ink.golden, tmp_path / "golden")
    shutil.copy(copy / "pictures" / "1.png", copy / "pictures" / "0.png")
    done = classify_ink("--check", copy)
    assert done.stdout.splitlines()[-1] == "7 of 8 pictures prepared alike"
    assert done.returncode == 1
