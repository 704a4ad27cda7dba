import json
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace

import keras
import numpy as np
import pytest
from rich.console import Console

from export.formats import contract, failures, verdict
from export.formats import format as formats_module
from export.formats.format import ExportRequest, Materials, exporter, formats
from export.tflite import micro_interpreter
from export.tflite.micro_interpreter import MicroAnswers
from pipeline.config.schema import ExportSection, Gate, PipelineConfig, VerifySection
from pipeline.core.errors import AbsentRuntimeError, ExportError, StageError
from pipeline.core.progress import LogProgress
from pipeline.data import dataset_json, files_csv, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.stages import verify
from pipeline.workflow.stage import StageContext
from tests.children_here import children_here

SHAPE, CLASSES = (8, 8, 1), ("a", "b", "c")
WRITTEN = ("onnx", "tflite_float32")
PROMISED = contract.Contract(
    contract.image_input(SHAPE, "mixed"),
    contract.output(CLASSES),
    {name: contract.of_format(name, formats()[name].interface(SHAPE, 3)) for name in WRITTEN},
    model_key="m",
    data_key="d",
    versions={},
)


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(SHAPE, name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax", name="probabilities"),
        ]
    )


def write_formats(model, folder):
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    promise = contract.to_json(PROMISED)
    for name in WRITTEN:
        exporter(name).write(
            ExportRequest(
                format_name=name,
                materials=Materials(folder / "model.keras", folder / "none", promise, folder),
                folder=folder,
                promised=formats()[name].interface(SHAPE, 3),
                options=formats()[name].options().model_dump(),
            )
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Artifacts of all stages before: 40 test images, and the answers of the model exported."""
    root = tmp_path_factory.mktemp("artifacts")
    ingest, evaluate = root / "ingest", root / "evaluate"
    ingest.mkdir()
    evaluate.mkdir()
    counts = {"test": (20, 10, 10)}
    dataset_json.write(ingest, Description(SHAPE, CLASSES, counts, (0.0,), (1.0,), "noise", {}, {}))
    images = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)
    labels = np.repeat([0, 1, 2], [20, 10, 10])
    tfrecords.write_split(ingest, "test", LabelledImages(images, labels))
    model = network(0)
    np.save(evaluate / "probabilities.npy", model.predict(images, verbose=0))
    write_formats(model, root / "export")
    write_formats(network(7), root / "other")
    contract.write(PROMISED, root / "export")
    failures.write({"saved_model": "the converter was killed by SIGKILL"}, root / "export")
    return root


@pytest.fixture
def run(root, tmp_path):
    def run(*names, export_folder="export", in_children=False, **section):
        for folder in ("output", "scratch"):
            (tmp_path / folder).mkdir(exist_ok=True)
        config = PipelineConfig.model_construct(
            name="test",
            export=ExportSection(formats=names),
            verify=VerifySection(warmup_runs=1, timed_runs=5, **section),
        )
        inputs = {stage: root / stage for stage in ("ingest", "evaluate")}
        inputs["export"] = root / export_folder
        progress = LogProgress(Console(quiet=True))
        context = StageContext(config, inputs, tmp_path / "output", tmp_path / "scratch", progress)
        with nullcontext() if in_children else children_here():
            result = verify.run(context)
        return result, verdict.read(tmp_path / "output" / "verdict.json")

    return run


@pytest.fixture
def micro_is_asked(monkeypatch):
    """It is the one TFLite format that these tests write."""
    known = formats()["tflite_float32"]
    monkeypatch.setitem(formats(), "tflite_float32", replace(known, targets=("microcontroller",)))


def micro_answers(changed):
    """Stands for TensorFlow Lite Micro; what it gives is LiteRT's answers, changed."""

    def answers(path, images, timeout_seconds):
        stored = changed(formats_module.answers("tflite_float32", path, np.load(images)))
        return MicroAnswers(stored, 0.5, 1234, "TensorFlow Lite Micro 0")

    return answers


@pytest.mark.usefixtures("micro_is_asked")
def test_good_formats_pass_with_every_figure(run):
    result, written = run(*WRITTEN, in_children=True)
    assert written.passed
    assert result.passed
    assert result.summary == "2 formats hold their gates on 40 test images"
    for row in written.formats:
        assert row.accuracy == written.keras_accuracy
        assert (row.accuracy_difference_points, row.agreement, row.disagreements) == (0, 1, 0)
        assert 0 <= row.largest_difference < 1e-5
        assert 0 < row.latency_p50_ms <= row.latency_p95_ms
        assert row.load_ms > 0
    assert written.formats[1].runtime.startswith("LiteRT ")


def test_keras_accuracy_is_that_of_the_evaluate_stage(run, root):
    _, written = run("onnx")
    labels = np.repeat([0, 1, 2], [20, 10, 10])
    answers = np.load(root / "evaluate" / "probabilities.npy")
    assert written.keras_accuracy == np.mean(answers.argmax(axis=1) == labels)
    assert (written.test_images, written.threads, written.timed_runs) == (40, 1, 5)


@pytest.fixture
def other_weights(root):
    """The export folder, with files of the same network with other weights."""
    for file in (root / "export").iterdir():
        if file.suffix in (".json", ".txt"):
            (root / "other" / file.name).write_bytes(file.read_bytes())
    return "other"


def test_golden_images_hold_the_answers_of_passing_formats_alone(run, other_weights, tmp_path):
    run(*WRITTEN, export_folder=other_weights)
    assert not (tmp_path / "output" / "golden").exists()


def test_a_file_with_other_weights_fails_its_gate(run, other_weights):
    result, written = run(*WRITTEN, export_folder=other_weights)
    assert (result.passed, result.may_pass) == (False, False)
    assert [row.passed for row in written.formats] == [False, False]
    assert "predicts another class than Keras on " in written.formats[0].reason
    assert result.summary == "2 of 2 formats failed: onnx, tflite_float32"


def test_a_gate_in_the_config_replaces_the_formats_own(run, other_weights):
    gates = {"onnx": Gate(max_accuracy_drop_points=100.0)}
    _, written = run(*WRITTEN, export_folder=other_weights, gates=gates)
    assert [row.passed for row in written.formats] == [True, False]
    assert written.formats[0].checks[-1].name == "accuracy drop in points"
    assert "same predictions" not in [check.name for check in written.formats[0].checks]


def test_a_missing_file_fails_with_a_reason_and_costs_no_other(run):
    result, written = run("onnx", "tflite_int8")
    good, missing = written.formats
    assert good.passed
    assert missing.reason == "tflite_int8.tflite is missing"
    assert (missing.size_bytes, missing.accuracy, missing.latency_p50_ms) == (None, None, None)
    assert (result.passed, result.may_pass) == (False, False)
    assert result.summary == "1 of 2 formats failed: tflite_int8"


def test_a_format_that_was_not_written_fails_with_the_converters_reason(run):
    result, written = run("saved_model")
    assert result.may_pass
    assert "the converter was killed by SIGKILL" in written.formats[0].reason
    assert "running the same command again tries again" in written.formats[0].reason


def test_a_file_that_its_runtime_refuses_fails_with_what_the_runtime_said(run, root):
    broken = root / "broken"
    broken.mkdir()
    for file in (root / "export").iterdir():
        (broken / file.name).write_bytes(file.read_bytes() if file.is_file() else b"")
    (broken / "model.onnx").write_bytes(b"no model")
    result, written = run(*WRITTEN, export_folder="broken", in_children=True)
    assert "DecodeError" in written.formats[0].reason
    assert (result.passed, result.may_pass) == (False, False)
    assert written.formats[0].size_bytes == 8
    assert written.formats[1].passed


def test_a_check_that_hangs_fails_that_format(run):
    result, written = run("onnx", in_children=True, timeout_seconds=0.01)
    assert result.may_pass
    assert written.formats[0].reason.endswith("; its check took longer than 0.01 s")


def test_answers_of_keras_to_other_images_are_refused(run, monkeypatch):
    def shorter(folder, split):
        whole = tfrecords.read_split(folder, split)
        return whole.select(np.arange(39))

    monkeypatch.setattr(verify, "read_split", shorter)
    with pytest.raises(StageError, match=r"has 39.*--force evaluate") as raised:
        run("onnx")
    assert raised.type is StageError


def test_a_file_that_carries_another_contract_fails(run, root, tmp_path):
    other = root / "relabelled"
    shutil.copytree(root / "export", other)
    swapped = replace(PROMISED, output=contract.output(("b", "a", "c")))
    contract.write(swapped, other)
    _, written = run("onnx", export_folder="relabelled")
    assert not written.formats[0].passed
    assert "contract" in written.formats[0].reason


@pytest.mark.usefixtures("micro_is_asked")
def test_tflite_micro_answers_for_a_format_for_microcontrollers(run, monkeypatch):
    monkeypatch.setattr(micro_interpreter, "answers", micro_answers(lambda p: p))
    _, written = run("tflite_float32", microcontroller_images=10)
    micro = written.formats[0].micro
    assert (micro.images, micro.different, micro.arena_bytes) == (10, 0, 1234)
    assert written.formats[0].passed


@pytest.mark.usefixtures("micro_is_asked")
def test_one_other_prediction_in_tflite_micro_fails_the_format(run, monkeypatch):
    def turned(probabilities):
        probabilities[3] = np.roll(probabilities[3], 1)
        return probabilities

    monkeypatch.setattr(micro_interpreter, "answers", micro_answers(turned))
    _, written = run("tflite_float32", microcontroller_images="all")
    micro = written.formats[0].micro
    assert (micro.images, micro.different, micro.near_ties) == (40, 1, 0)
    assert "in TensorFlow Lite Micro than in LiteRT on 1 of 40 images" in written.formats[0].reason


@pytest.mark.usefixtures("micro_is_asked")
def test_a_reference_that_does_not_answer_fails_that_format_alone(run, monkeypatch):
    def turned(probabilities):
        return np.roll(probabilities, 1, axis=1)

    def hang(*_):
        raise ExportError("LiteRT took longer than 1 s")

    monkeypatch.setattr(micro_interpreter, "answers", micro_answers(turned))
    monkeypatch.setattr(micro_interpreter, "reference_answers", hang)
    _, written = run("tflite_float32", "onnx")
    assert written.formats[0].reason == "LiteRT took longer than 1 s"
    assert written.formats[1].passed


@pytest.mark.usefixtures("micro_is_asked")
def test_a_refusal_of_tflite_micro_is_told_and_fails_nothing(run, monkeypatch):
    def refuse(*_):
        raise ExportError("no such operator")

    monkeypatch.setattr(micro_interpreter, "answers", refuse)
    _, written = run("tflite_float32")
    assert written.formats[0].micro.refusal == "no such operator"
    assert written.formats[0].passed


@pytest.mark.usefixtures("micro_is_asked")
def test_where_tflite_micro_is_not_the_file_is_not_run_there_and_passes(run, monkeypatch, tmp_path):
    def lack(*_):
        raise AbsentRuntimeError("it is not on this machine")

    monkeypatch.setattr(micro_interpreter, "answers", lack)
    _, written = run("tflite_float32")
    (row,) = written.formats
    assert (row.micro.absence, row.micro.refusal) == ("it is not on this machine", "")
    assert row.passed
    plain = json.loads((tmp_path / "output" / "verdict.json").read_text("utf-8"))
    assert plain["formats"][0]["micro"]["absence"] == "it is not on this machine"
    page = (tmp_path / "output" / "verdict.html").read_text("utf-8")
    assert "</b> was not run here: it is not on this machine" in page


@pytest.mark.usefixtures("micro_is_asked")
def test_tflite_micro_is_not_asked_about_0_images(run):
    _, written = run("tflite_float32", microcontroller_images=0)
    assert written.formats[0].micro is None


def test_golden_images_name_their_files(run, root, tmp_path):
    files = [f"{number}.jpg" for number in range(40)]
    files_csv.write(root / "ingest", {"test": files})
    try:
        run("onnx")
    finally:
        (root / "ingest" / files_csv.FILE_NAME).unlink()
    record = json.loads((tmp_path / "output" / "golden" / "golden.json").read_text("utf-8"))
    assert len(record["images"]) == 32
    assert all(image["test_file"] == files[image["test_index"]] for image in record["images"])


def test_the_page_holds_every_format_and_opens_without_a_network(run, tmp_path):
    run(*WRITTEN)
    page = (tmp_path / "output" / "verdict.html").read_text("utf-8")
    assert "2 of 2" in page
    assert all(f">{name}</th>" in page for name in WRITTEN)
    assert "tflite float32" not in page
    assert "<h1>Exported files of test</h1>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
