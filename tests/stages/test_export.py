import json
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

from export.convert import Conversion
from export.formats import contract, failures, quantization_json
from export.formats.format import formats
from pipeline.config.schema import CalibrationSection, ExportSection, PipelineConfig, VerifySection
from pipeline.core import environment
from pipeline.core.errors import ExportError
from pipeline.core.progress import LogProgress
from pipeline.data import dataset_json, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.stages import export
from pipeline.workflow.stage import StageContext
from tests.children_here import children_here

SHAPE, CLASSES = (8, 8, 1), ("a", "b", "c")


def write_inputs(root):
    ingest, train = root / "ingest" / "0123", root / "train" / "4567"
    ingest.mkdir(parents=True)
    train.mkdir(parents=True)
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    counts = {"train": (10, 20, 30), "validation": (5, 10, 15)}
    dataset_json.write(ingest, Description(SHAPE, CLASSES, counts, (0.0,), (1.0,), "noise", {}, {}))
    images = np.random.default_rng(0).integers(0, 50, (60, *SHAPE)).astype(np.uint8)
    tfrecords.write_split(ingest, "train", LabelledImages(images, labels))
    tfrecords.write_split(ingest, "validation", LabelledImages(images[::2], labels[::2]))
    model = keras.Sequential(
        [
            keras.Input(SHAPE, name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax", name="probabilities"),
        ]
    )
    model.save(train / "model.keras")
    return {"ingest": ingest, "train": train}


def context_for(root, inputs, names, calibration=None):
    for folder in ("output", "scratch"):
        (root / folder).mkdir()
    section = ExportSection(formats=names, calibration=calibration or CalibrationSection(images=12))
    config = PipelineConfig.model_construct(
        name="test", seed=5, export=section, verify=VerifySection()
    )
    progress = LogProgress(Console(quiet=True))
    return StageContext(config, inputs, root / "output", root / "scratch", progress)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def exported(inputs, tmp_path_factory):
    """The stage, run after a killed one, for a format that stands alone and one that does not."""
    context = context_for(tmp_path_factory.mktemp("run"), inputs, ("tflite_int8", "onnx_int8"))
    (context.scratch / "saved_model_of_one").mkdir()
    with children_here():
        return context, export.run(context)


def test_it_publishes_what_was_asked_for_and_no_step_on_the_way(exported):
    context, _ = exported
    assert sorted(path.name for path in context.output.iterdir()) == [
        "calibration.json",
        "contract.json",
        "failures.json",
        "labels.txt",
        "model_int8.onnx",
        "quantization.json",
        "runtimes",
        "tflite_int8.tflite",
    ]


def test_the_contract_names_what_made_the_files(exported):
    context, _ = exported
    written = contract.read(context.output)
    assert (written.model_key, written.data_key) == ("4567", "0123")
    assert written.output.labels == CLASSES
    assert written.input.background == "dark"
    assert sorted(written.formats) == ["onnx_int8", "tflite_int8"]
    assert failures.read(context.output) == {}


def test_calibration_records_which_images_and_keeps_the_classes_shares(exported):
    context, _ = exported
    calibration = json.loads((context.output / "calibration.json").read_text())
    assert calibration["split"] == "train"
    assert calibration["count_per_class"] == {"a": 2, "b": 4, "c": 6}
    train = tfrecords.read_split(context.inputs["ingest"], "train")
    used = np.load(context.scratch / "calibration.npy")
    np.testing.assert_array_equal(used, train.images[calibration["indices"]])


def test_quantised_formats_are_judged_by_validation_images(exported):
    context, _ = exported
    noted_of_int8 = quantization_json.read(context.output)["tflite_int8"]
    assert noted_of_int8["validation_images"] == 30
    assert noted_of_int8["bound_points"] == 0.3
    with np.load(context.scratch / "validation.npz") as used:
        split = tfrecords.read_split(context.inputs["ingest"], "validation")
        np.testing.assert_array_equal(used["images"], split.images)
        np.testing.assert_array_equal(used["labels"], split.labels)


@pytest.mark.parametrize(
    ("calibration", "percentile"),
    [
        (CalibrationSection(images=12), None),
        (CalibrationSection(method="percentile"), 99.99),
        (CalibrationSection(method="percentile", percentile=98.0), 98.0),
    ],
)
def test_the_method_of_calibration_reaches_every_format(
    inputs, tmp_path, monkeypatch, calibration, percentile
):
    seen = []
    monkeypatch.setattr(
        export,
        "convert",
        lambda requests, *_: seen.extend(requests) or converts_only(formats())(requests, 0, None),
    )
    context = context_for(tmp_path, inputs, ("onnx_int8",), calibration)
    export.run(context)
    assert {request.materials.percentile for request in seen} == {percentile}


def test_random_sampling_does_not_look_at_labels(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "convert", converts_only(["onnx"]))
    drawn = {}
    for sampling in ("stratified", "random"):
        root = tmp_path / sampling
        root.mkdir()
        context = context_for(
            root, inputs, ("onnx",), CalibrationSection(images=30, sampling=sampling)
        )
        export.run(context)
        drawn[sampling] = json.loads((context.output / "calibration.json").read_text())
    assert drawn["stratified"]["count_per_class"] == {"a": 5, "b": 10, "c": 15}
    assert drawn["random"]["count_per_class"] != {"a": 5, "b": 10, "c": 15}
    assert len(drawn["random"]["indices"]) == 30


def test_tries_are_told_where_one_was_not_enough(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "convert", converts_only(["onnx"]))
    monkeypatch.setattr(quantization_json, "in_words", lambda tries: "tflite_int8: it took two")
    result = export.run(context_for(tmp_path, inputs, ("onnx",)))
    assert result.summary.endswith(". tflite_int8: it took two")


def test_the_summary_counts_formats_and_sizes(exported):
    context, result = exported
    size = (context.output / "tflite_int8.tflite").stat().st_size
    assert result.metrics["tflite_int8.size_bytes"] == size
    assert result.summary.startswith("2 formats, ")
    assert f"{size / 1e3:.0f} kB (tflite_int8)" in result.summary


def converts_only(names, failure="the converter was killed by SIGKILL"):
    """Stands for `convert`: the named formats come out as promised, the others fail."""

    def convert(requests, timeout_seconds, on_done):
        done = {}
        for request in requests:
            name = request.format_name
            if name in names:
                request.path.write_bytes(b"x")
                done[name] = Conversion(name)
            else:
                done[name] = Conversion(name, failure)
        return done

    return convert


def test_a_format_that_fails_is_named_and_the_others_are_published(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "convert", converts_only(["onnx"]))
    context = context_for(tmp_path, inputs, ("onnx", "tflite_int8"))
    result = export.run(context)
    reason = "the converter was killed by SIGKILL"
    assert failures.read(context.output) == {"tflite_int8": reason}
    assert f"tflite_int8: {reason}; running the same command again tries again" in result.summary
    assert result.may_pass


def test_what_fails_the_same_way_each_time_is_not_tried_again(inputs, tmp_path, monkeypatch):
    reason = "the converter raised ValueError: no such operator"
    monkeypatch.setattr(export, "convert", converts_only(["onnx"], reason))
    result = export.run(context_for(tmp_path, inputs, ("onnx", "tflite_int8")))
    assert result.summary.endswith(
        f"1 failed. tflite_int8: {reason}; it would fail the same way again: "
        "leave it out of export.formats"
    )
    assert not result.may_pass


def test_a_run_without_one_good_format_publishes_nothing(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "convert", converts_only([]))
    with pytest.raises(ExportError, match="no format could be written"):
        export.run(context_for(tmp_path, inputs, ("onnx",)))


def test_each_request_holds_the_promise_of_the_data_set(inputs, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        export,
        "convert",
        lambda requests, *_: (
            seen.update({r.format_name: r for r in requests})
            or converts_only(formats())(requests, 0, None)
        ),
    )
    export.run(context_for(tmp_path, inputs, ("onnx_int8",)))
    assert seen["onnx_int8"].promised.input.shape == ("N", *SHAPE)
    assert seen["onnx_int8"].needs == {"onnx": Path(seen["onnx"].path)}
    assert seen["onnx"].folder == (tmp_path / "scratch").resolve()
    assert seen["onnx"].options == {"opset": 17, "batch": "N", "layout": "nhwc"}


def test_a_library_that_is_not_installed_has_no_version(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "LIBRARIES", ("numpy", "no-such-library"))
    monkeypatch.setattr(environment, "exporters", lambda: ())
    monkeypatch.setattr(export, "convert", converts_only(["onnx"]))
    context = context_for(tmp_path, inputs, ("onnx",))
    export.run(context)
    versions = {"numpy": np.__version__, "no-such-library": None}
    assert contract.read(context.output).versions == versions


@pytest.mark.parametrize(
    ("ring", "name"), [(0, "dark"), (63, "dark"), (128, "mixed"), (192, "light"), (255, "light")]
)
def test_the_background_is_what_the_outermost_pixels_are(ring, name):
    images = np.full((3, 6, 6, 1), 255 - ring, np.uint8)
    images[:, [0, -1]] = images[:, :, [0, -1]] = ring
    assert export.background(images) == name
