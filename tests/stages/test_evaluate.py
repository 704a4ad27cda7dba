import csv
import json
import re
from contextlib import nullcontext

import keras
import numpy as np
import pytest

from pipeline.config.schema import (
    DataSection,
    EvaluateSection,
    ExportSection,
    ModelSection,
    PipelineConfig,
)
from pipeline.core.errors import StageError
from pipeline.data import dataset_json, files_csv, tfrecords
from pipeline.data.images.types import LabelledImages
from pipeline.stages import evaluate
from pipeline.workflow.stage import StageContext

CLASSES = ("dark", "grey", "light")
KERNEL = np.array([[-0.01, 0.0, 0.01]] * 4, np.float32)
BIAS = np.array([5.0, 1.5, -5.0], np.float32)


class Counting:
    """A progress that remembers how far it came."""

    def __init__(self):
        self.total, self.done, self.lines = 0, [], []

    def task(self, description, total):
        self.total += total
        return nullcontext(self)

    def line(self, text):
        self.lines.append(text)

    def advance(self, steps=1, note=""):
        self.done.append(steps)


def split():
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 2, 1), np.uint8)
    labels = np.digitize(images.mean(axis=(1, 2, 3)), [110, 140])
    return LabelledImages(images, labels)


def expected_probabilities(images, kernel=KERNEL):
    scores = np.exp(images.reshape(-1, 4).astype(np.float64) @ kernel + BIAS)
    return scores / scores.sum(axis=1, keepdims=True)


def write_inputs(folder, bias=BIAS, kernel=KERNEL, augmentation=None):
    ingest, train = folder / "ingest", folder / "train"
    ingest.mkdir()
    train.mkdir()
    test = split()
    counts = {"train": (5, 5, 5), "test": tuple(np.bincount(test.labels).tolist())}
    described = dataset_json.Description(
        image_shape=(2, 2, 1),
        classes=CLASSES,
        counts=counts,
        pixel_mean=(0.0,),
        pixel_deviation=(1.0,),
        origin="Made up.",
        source_sha256={},
        cleaning={},
    )
    dataset_json.write(ingest, described)
    finding = {"check": "drift", "level": "warn", "message": "it drifts", "examples": []}
    checks = {"findings": [finding], "statistics": {}}
    (ingest / "checks.json").write_text(json.dumps(checks), encoding="utf-8")
    tfrecords.write_split(ingest, "test", test)
    dense = keras.layers.Dense(3, activation="softmax", name="probabilities")
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), dense])
    dense.set_weights([kernel, bias])
    model.save(train / "model.keras")
    (train / "history.csv").write_text("epoch,loss\n1,0.5\n", encoding="utf-8")
    manifest = {
        "config": {"augmentation": augmentation or {}, "train": {"monitor": "val_accuracy"}},
        "metrics": {"best_epoch": 1},
    }
    (train / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return {"ingest": ingest, "train": train}


def context_of(folder, views=1, **inputs):
    config = PipelineConfig(
        name="three_greys",
        data=DataSection(source="idx"),
        model=ModelSection(preset="compact_cnn"),
        evaluate=EvaluateSection(batch_size=8, worst_mistakes=2, test_time_views=views),
        export=ExportSection(formats=("onnx",)),
    )
    output = folder / "output"
    output.mkdir()
    return StageContext(
        config, write_inputs(folder, **inputs), output, folder / "scratch", Counting()
    )


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    context = context_of(tmp_path_factory.mktemp("evaluate"))
    return context, evaluate.run(context)


def test_the_stage_writes_its_four_files(evaluated):
    names = {path.name for path in evaluated[0].output.iterdir()}
    assert names == {"report.html", "metrics.json", "predictions.csv", "probabilities.npy"}


def test_probabilities_are_those_of_the_model_in_the_order_of_the_split(evaluated):
    found = np.load(evaluated[0].output / "probabilities.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected_probabilities(split().images), atol=1e-6)


def test_figures_are_counted_over_the_whole_split(evaluated):
    context, result = evaluated
    test = split()
    right = int((expected_probabilities(test.images).argmax(axis=1) == test.labels).sum())
    assert 0 < right < 30
    figures = json.loads((context.output / "metrics.json").read_text(encoding="utf-8"))
    assert figures["accuracy"] == result.metrics["accuracy"] == right / 30
    assert sum(map(sum, figures["confusion_matrix"])) == 30
    assert re.match(
        rf"accuracy {right / 30:.2%} \(95% interval [\d.]+% to [\d.]+%\) on 30", result.summary
    )
    assert ") on 30 test images" in result.summary


def test_predictions_name_their_classes(evaluated):
    with (evaluated[0].output / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [CLASSES[label] for label in split().labels]


def test_files_are_named_with_their_answers(tmp_path):
    context = context_of(tmp_path)
    files = [f"{number % 3}/{number}.png" for number in range(30)]
    others = {"train": ["x.png"] * 9, "test": files, "validation": ["y.png"]}
    files_csv.write(context.inputs["ingest"], others)
    evaluate.run(context)
    with (context.output / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == files
    wrong = [row for row in rows if row["label"] != row["prediction"]]
    worst = max(wrong, key=lambda row: float(row["loss"]))["file"]
    page = (context.output / "report.html").read_text(encoding="utf-8")
    assert f"{worst}</span>" in page.partition("<h2>Worst mistakes</h2>")[2]
    assert "x.png" not in page


def test_the_report_is_of_this_config(evaluated):
    page = (evaluated[0].output / "report.html").read_text(encoding="utf-8")
    assert "<h1>three_greys</h1>" in page
    assert "Made up." in page
    assert "It drifts." in page
    assert "of epoch 1, which was kept for its highest validation accuracy" in page


def test_the_report_names_the_model_that_training_began_from(tmp_path):
    context = context_of(tmp_path)
    path = context.inputs["train"] / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["metrics"]["begun_from"] = "train 0123456789abcdef"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    evaluate.run(context)
    page = (context.output / "report.html").read_text(encoding="utf-8")
    assert "compact_cnn, begun from train 0123456789abcdef, evaluated " in page
    assert "began from" in page


def test_progress_counts_every_image_in_batches(evaluated):
    progress = evaluated[0].progress
    assert progress.total == 30
    assert progress.done == [8, 8, 8, 6]


def test_a_model_that_gives_no_number_is_refused_with_the_first_image(tmp_path):
    broken = np.full(3, -np.inf, np.float32)
    with pytest.raises(StageError, match=r"model\.keras: gives no number for 30 of 30 .* image 0;"):
        evaluate.run(context_of(tmp_path, bias=broken))


ONE_SIDED = np.array([[-0.02, 0.0, 0.02], [0.0, 0.0, 0.0]] * 2, np.float32)
"""Looks at the left half of an image alone, so a mirrored image has another answer."""


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """Evaluated over two views, the second of which is mirrored for certain."""
    flips = {"horizontal_flip_probability": 1.0, "erasing_probability": 1.0}
    folder = tmp_path_factory.mktemp("averaged")
    context = context_of(folder, views=2, kernel=ONE_SIDED, augmentation=flips)
    return context, evaluate.run(context)


def expected_average():
    images = split().images
    both = [expected_probabilities(i, ONE_SIDED) for i in (images, images[:, :, ::-1])]
    return sum(both) / 2


def test_the_average_over_views_is_that_of_the_image_and_its_mirror(averaged):
    context, result = averaged
    labels = split().labels
    mean = expected_average()
    right = int((mean.argmax(axis=1) == labels).sum())
    figures = json.loads((context.output / "metrics.json").read_text(encoding="utf-8"))
    for found in (figures, result.metrics):
        assert found["test_time_views"] == 2
        assert found["test_time_accuracy"] == right / 30
        losses = -np.log(mean[np.arange(30), labels])
        assert found["test_time_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert f"; {right / 30:.2%} averaged over 2 views of each" in result.summary


def test_all_else_is_of_the_plain_image(averaged):
    context, result = averaged
    expected = expected_probabilities(split().images, ONE_SIDED)
    found = np.load(context.output / "probabilities.npy")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    right = int((expected.argmax(axis=1) == split().labels).sum())
    assert result.metrics["accuracy"] == right / 30 != result.metrics["test_time_accuracy"]
    with (context.output / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == [CLASSES[i] for i in expected.argmax(axis=1)]


def test_the_report_tells_of_the_average(averaged, evaluated):
    context, result = averaged
    page = (context.output / "report.html").read_text(encoding="utf-8")
    share = 100 * result.metrics["test_time_accuracy"]
    assert re.search(rf">{share:.1f}\s?% averaged over 2 views of each image:", page)
    assert "averaged over" not in (evaluated[0].output / "report.html").read_text(encoding="utf-8")
    assert not any(name.startswith("test_time") for name in evaluated[1].metrics)


def test_progress_counts_every_view(averaged):
    assert averaged[0].progress.total == sum(averaged[0].progress.done) == 60


def test_a_search_that_chose_to_move_nothing_leaves_no_average_and_says_so(tmp_path):
    context = context_of(tmp_path, views=3, augmentation={"noise_stddev": 5.0})
    assert "averaged" not in evaluate.run(context).summary
    assert context.progress.lines == ["no test-time average: the search chose to move no pixels"]


def test_an_average_that_is_no_number_is_refused(tmp_path, monkeypatch):
    plain = evaluate.answers

    def broken(*arguments):
        return plain(*arguments) if len(arguments) == 4 else np.full((30, 3), np.nan, np.float32)

    monkeypatch.setattr(evaluate, "answers", broken)
    flips = {"vertical_flip_probability": 1.0}
    with pytest.raises(StageError, match="gives no number for 30 of 30"):
        evaluate.run(context_of(tmp_path, views=2, augmentation=flips))


@pytest.mark.parametrize(("bias", "is_told"), [([110, 0, -140], False), ([0, 999, 0], True)])
def test_a_model_that_always_names_one_class_is_told_of(tmp_path, bias, is_told):
    kernel = np.outer(np.full(4, 0.25), [-1, 0, 1]).astype(np.float32)
    context = context_of(tmp_path, bias=np.array(bias, np.float32), kernel=kernel)
    result = evaluate.run(context)
    share = np.bincount(split().labels).max() / 30
    said = f"; no better than naming the most frequent class ({share:.2%}): train longer, or look"
    assert (said in result.summary) == is_told
    page = (context.output / "report.html").read_text(encoding="utf-8")
    assert ("No better than naming the most frequent class" in page) == is_told
