import json
import re
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from export.deployment import render
from export.formats import contract
from export.formats.contract import ImageInput
from export.formats.format import exporter, formats
from export.formats.tensors import FLOAT32
from pipeline.data.dataset_json import Preparation
from pipeline.inference.pictures import prepare
from tests.export.runtimes.conftest import FORMATS

ENGINES = ("onnx", "tflite_float32")
LAPTOP, PHONE = (1200, 800), (390, 844)
STROKE = [(0.2, 0.3), (0.8, 0.3), (0.4, 0.9)]
COLOUR = ImageInput((28, 28, 3), "rgb", "light")


def answer(shipped, name, picture):
    """What Python says of a picture: by label."""
    pixels, _ = prepare(picture, shipped.contract.input, "auto")
    predictor = exporter(name).load(shipped.export / shipped.contract.formats[name].file, 1)
    given = predictor.run(pixels[None].astype(np.float32))[0].tolist()
    return dict(zip(shipped.contract.output.labels, given, strict=True))


def picture_of(size=(90, 150)):
    """Dark on light, in colour, of other proportions than the model's input."""
    rows, columns = np.indices(size) / np.array(size)[:, None, None]
    pixels = np.full((*size, 3), 235, np.uint8)
    pixels[(np.abs(rows - columns) < 0.1) & (rows > 0.1) & (rows < 0.9)] = (20, 60, 120)
    return Image.fromarray(pixels)


PICTURES = {"choose.png": picture_of(), "drop.png": picture_of((150, 90))}
CHECK_BOTH = [step for engine in ENGINES for step in (("engine", engine), ("check", None))]
# What kernels for WebAssembly make of 8 bits; a probability has 256 steps there.
IN_8_BITS = 2.5 / 256


@pytest.fixture(scope="module")
def tour(drive, url, tmp_path_factory):
    """What one page showed after each of many steps, by their names: to load it takes seconds."""
    folder = tmp_path_factory.mktemp("tour")
    for name, picture in PICTURES.items():
        picture.save(folder / name)
    (folder / "notes.png").write_text("no picture")
    steps = {
        "one": ("stroke", STROKE),
        "two": ("stroke", [(0.5, 0.1), (0.5, 0.95)]),
        "back": ("press", "Control+z"),
        "none": ("click", "#clear"),
        "told": ("choose", folder / "notes.png"),
        "drawn": ("stroke", STROKE),
        "choose onnx": ("choose", folder / "choose.png"),
        "choose tflite_float32": ("engine", "tflite_float32"),
        "drop tflite_float32": ("drop", folder / "drop.png"),
        "drop onnx": ("engine", "onnx"),
    }
    for name in FORMATS:
        steps |= {f"engine {name}": ("engine", name), f"check {name}": ("check", None)}
    empty, *states = drive(url, *steps.values(), viewport=LAPTOP)
    return {"empty": empty, **dict(zip(steps, states, strict=True))}


def test_the_golden_vectors_of_each_file_agree_with_python(tour, shipped):
    count = len(json.loads((shipped.golden / "golden.json").read_text("utf-8"))["images"])
    assert sorted(tour["empty"]["engines"]) == sorted(FORMATS)
    for name in FORMATS:
        state = tour[f"check {name}"]
        pattern = rf"{count} of {count} agree, largest difference (\S+)"
        found = re.fullmatch(pattern, state["check"])
        assert found, (name, state["check"], state["error"])
        assert float(found[1]) <= (1e-5 if name in ENGINES else IN_8_BITS), name
        assert (state["width"], state["beyond"], state["small"]) == (LAPTOP[0], [], [])


def test_a_browser_is_recommended_nothing_that_the_page_does_not_run(shipped):
    listed = (shipped.export / "runtimes" / "web" / "model.js").read_text("utf-8")
    for name, known in formats().items():
        assert ("browser" in known.targets) == (f"    {name}: {{" in listed), name


def test_wrong_expectations_are_counted(drive, shipped, served, tmp_path):
    golden = shutil.copytree(shipped.golden, tmp_path / "golden")
    onnx = np.fromfile(golden / "expected" / "onnx.bin", "<f4").reshape(-1, 4)
    onnx[[3, 5, 6], 1] += 0.25
    onnx.tofile(golden / "expected" / "onnx.bin")
    tflite = onnx.copy()
    tflite[5, 0] = np.nan
    tflite.tofile(golden / "expected" / "tflite_float32.bin")
    with served(shipped.export, golden) as address:
        _, _, first, _, second = drive(address, *CHECK_BOTH)
    count = len(onnx)
    assert first["check"] == f"{count - 3} of {count} agree, largest difference 3e-1"
    assert second["check"] == f"{count - 3} of {count} agree, largest difference NaN"


def test_a_drawing_changes_the_answer_and_undo_takes_it_back(tour):
    empty, one, two, back, none = (tour[name] for name in ("empty", "one", "two", "back", "none"))
    assert (empty["best"], empty["spoken"], empty["canUndo"]) == ("–", "", False)
    assert one["best"] in {"ein", "zwei", "drei", "fünf"}
    assert one["spoken"].startswith(one["best"])
    assert sum(share for _, share in one["bars"]) == pytest.approx(1, abs=1e-5)
    assert max(one["seen"]) == 255
    assert one["bars"] != two["bars"]
    assert back["bars"] == one["bars"]
    assert none["bars"] == empty["bars"]
    assert re.fullmatch(r"\d+\.\d ms an answer", two["time"])


@pytest.mark.parametrize("action", ["choose", "drop"])
def test_a_picture_gets_the_answer_that_python_gives(tour, shipped, action):
    picture = PICTURES[f"{action}.png"]
    expected, _ = prepare(picture, shipped.contract.input, "auto")
    for name in ENGINES:
        state = tour[f"{action} {name}"]
        assert state["reading"] == "Read as dark on light, inverted"
        assert dict(state["bars"]) == pytest.approx(answer(shipped, name, picture), abs=1e-5)
        assert state["seen"][::4] == expected.ravel().tolist()


def test_a_file_that_is_no_picture_is_told_and_the_page_goes_on(tour):
    assert "notes.png cannot be read as a picture" in tour["told"]["error"]
    assert tour["drawn"]["error"] == ""
    assert tour["drawn"]["best"] != "–"


def test_all_of_it_fits_a_phone_and_fingers(drive, url, tmp_path):
    picture_of().save(tmp_path / "picture.png")
    states = drive(
        url,
        ("tap", (0.5, 0.5)),
        ("choose", tmp_path / "picture.png"),
        ("engine", "tflite_float32"),
        ("check", None),
        viewport=PHONE,
        touch=True,
    )
    assert states[1]["best"] != "–"
    assert states[2]["bars"] != states[1]["bars"]
    for state in states:
        assert (state["width"], state["beyond"], state["small"]) == (390, [], [])


def test_it_works_from_the_plain_server_of_python(drive, shipped, modules, tmp_path):
    folder = shutil.copytree(shipped.export, tmp_path / "export")
    shutil.copytree(shipped.golden, folder / "golden")
    (folder / "runtimes" / "web" / "node_modules").symlink_to(modules)
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            port = re.search(r"port (\d+)", server.stdout.readline())[1]
            address = f"http://127.0.0.1:{port}/runtimes/web/"
            *_, state = drive(address, ("check", None), ("engine", ENGINES[1]), ("check", None))
        finally:
            server.terminate()
    assert " agree, largest" in state["check"]
    assert state["error"] == ""


@pytest.fixture(scope="module")
def broken(drive, shipped, served, tmp_path_factory):
    """What a page showed, step by step, of whose files one is missing and two are damaged.

    Its golden vectors are of another model.
    """
    folder = tmp_path_factory.mktemp("broken")
    export = shutil.copytree(shipped.export, folder / "export")
    (export / "model.onnx").unlink()
    for name in ("onnx_int8", "tflite_float16"):
        (export / shipped.contract.formats[name].file).write_bytes(b"none")
    golden = shutil.copytree(shipped.golden, folder / "golden")
    text = (golden / "golden.json").read_text("utf-8")
    (golden / "golden.json").write_text(text.replace("0" * 16, "f" * 16), "utf-8")
    steps = {
        "missing": ("stroke", STROKE),
        "damaged": ("engine", "onnx_int8"),
        "damaged too": ("engine", "tflite_float16"),
        "again": ("stroke", STROKE),
        "whole": ("engine", "tflite_float32"),
        "checked": ("check", None),
    }
    with served(export, golden) as address:
        _, *states = drive(address, *steps.values())
    return dict(zip(steps, states, strict=True))


def test_a_broken_model_is_told_each_time_and_the_others_answer(broken):
    told = {
        "missing": "The model is not at /model.onnx (HTTP 404)",
        "damaged": "onnxruntime-web did not start: ",
        "damaged too": "@litertjs/core did not start: ",
    }
    for name, message in told.items():
        state = broken[name]
        assert message in state["error"]
        assert (state["best"], state["time"]) == ("–", "not running")
    assert broken["again"]["error"] == broken["damaged too"]["error"]
    assert broken["whole"]["error"] == ""
    assert broken["whole"]["best"] != "–"


def test_golden_vectors_of_another_model_are_refused(broken):
    refused = "The golden vectors in /golden/ are of model ffffffffffffffff"
    assert broken["checked"]["check"].startswith(refused)


def test_missing_packages_are_told_with_the_command_that_brings_them(
    drive, shipped, served, tmp_path
):
    with served(shipped.export, None, tmp_path) as address:
        states = drive(address, ("engine", "tflite_float32"))
    for package, state in zip(("onnxruntime-web", "@litertjs/core"), states, strict=True):
        assert state["error"].startswith(f"{package} did not start")
        assert "`npm ci --ignore-scripts` in runtimes/web" in state["error"]


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory):
    """A hundred classes with long names, in colour, on light paper, and as ONNX alone."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    labels = tuple(f"{n} — a label <b>too</b> long for a phone's line, {n}" for n in range(100))
    weights = np.random.default_rng(0).normal(0, 0.003, (28 * 28 * 3, 100)).astype(np.float32)
    shape = ["N", 28, 28, 3]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "model",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 100])],
        [numpy_helper.from_array(weights, "weights")],
    )
    folder = tmp_path_factory.mktemp("colour")
    promised = contract.Contract(
        COLOUR,
        contract.output(labels),
        {"onnx": contract.FormatContract("model.onnx", "N", FLOAT32, FLOAT32)},
        model_key="2" * 16,
        data_key="3" * 16,
        versions={},
    )
    save_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10),
        folder / "model.onnx",
    )
    render.render(promised, folder)
    return folder, labels, weights


def test_of_a_hundred_long_labels_the_likeliest_are_shown(drive, colour_model, served, tmp_path):
    folder, labels, weights = colour_model
    picture_of().save(tmp_path / "picture.png")
    steps = [("resize", PHONE), ("choose", tmp_path / "picture.png"), ("resize", LAPTOP)]
    with served(folder, None) as address:
        states = drive(address, *steps, viewport=LAPTOP)
    state = states[-1]
    pixels, _ = prepare(picture_of(), COLOUR, "auto")
    logits = pixels.ravel().astype(np.float64) @ weights
    likeliest = np.argsort(-logits)[:10]
    assert [label for label, _ in state["bars"]] == [labels[i] for i in likeliest]
    assert state["best"] == labels[likeliest[0]]
    assert np.reshape(state["seen"], (28, 28, 4))[..., :3].tolist() == pixels.tolist()
    assert states[2]["bars"] == state["bars"]
    for (width, _), shown in zip((LAPTOP, PHONE, PHONE, LAPTOP), states, strict=True):
        assert shown["engines"] == ["onnx"]  # the only one that was written
        assert (shown["width"], shown["beyond"], shown["small"]) == (width, [], [])


def test_a_model_of_photos_invites_nobody_to_draw(drive, shipped, served, tmp_path):
    export = shutil.copytree(shipped.export, tmp_path / "export")
    photos = contract.image_input((12, 10, 1), "mixed", "crop", "white")
    render.render(replace(shipped.contract, input=photos), export)
    page = (export / "runtimes" / "web" / "index.html").read_text("utf-8")
    assert "<h1>Drop a picture, or choose one</h1>" in page
    assert re.search(r"\bdraw", page, re.IGNORECASE) is None
    picture_of((90, 150)).save(tmp_path / "picture.png")
    with served(export, None) as address:
        empty, stroke, state, checked = drive(
            address,
            ("stroke", STROKE),
            ("choose", tmp_path / "picture.png"),
            ("check", None),
        )
    assert (stroke["best"], stroke["seen"]) == ("–", empty["seen"])
    assert state["reading"] == "Cropped to 10×12"
    assert "There are no golden vectors at /golden/golden.json" in checked["check"]


def test_of_ink_the_page_shows_what_was_found(drive, shipped, served, tmp_path):
    export = shutil.copytree(shipped.export, tmp_path / "export")
    wanted = replace(shipped.contract.input, preparation=Preparation(8, "box", (12, 10)))
    render.render(replace(shipped.contract, input=wanted), export)
    picture_of().save(tmp_path / "picture.png")
    corner = [(0.1, 0.1), (0.3, 0.1), (0.2, 0.3)]
    with served(export, None) as address:
        _, drawn, chosen = drive(address, ("stroke", corner), ("choose", tmp_path / "picture.png"))
    rows, columns = np.nonzero(np.reshape(drawn["seen"][::4], (12, 10)) > 127)
    assert max(np.ptp(rows), np.ptp(columns)) == 7  # 8 pixels, though drawn small
    assert abs(rows.min() + rows.max() - 11) <= 1
    assert abs(columns.min() + columns.max() - 9) <= 1
    expected, _ = prepare(picture_of(), wanted, "auto")
    assert chosen["seen"][::4] == expected.ravel().tolist()
    assert (drawn["reading"], chosen["reading"]) == ("", "Read as dark on light")


def test_only_the_formats_that_were_written_are_named(shipped, tmp_path):
    formats = {"tflite_float32": shipped.contract.formats["tflite_float32"]}
    render.render(replace(shipped.contract, formats=formats), tmp_path)
    page = tmp_path / "runtimes" / "web"
    assert "onnx:" not in (page / "model.js").read_text("utf-8")
    assert re.findall(r'value="(\w+)" checked', (page / "index.html").read_text("utf-8")) == [
        "tflite_float32"
    ]
    assert "onnxruntime-web" not in (page / "README.md").read_text("utf-8")


def test_the_page_asks_for_nothing_but_its_own_files(shipped):
    """What the browser tests see blocked is not even named."""
    for file in (shipped.export / "runtimes" / "web").glob("*"):
        if file.suffix in {".js", ".html", ".css"}:
            addresses = re.findall(r"https?://[^\s\"'<>]+", file.read_text("utf-8"))
            assert [a for a in addresses if not a.startswith("http://localhost:8000")] == []


def test_the_modules_named_in_the_page_are_in_the_packages(url):
    with urllib.request.urlopen(f"{url}runtimes/web/") as response:
        page = response.read().decode()
    modules = re.findall(r"\./(node_modules/[^\"]+)", page)
    assert len(modules) == 3
    for module in modules:
        with urllib.request.urlopen(f"{url}runtimes/web/{module}") as response:
            assert response.headers["Content-Type"] == "text/javascript"
