import csv
import json
from contextlib import nullcontext

import keras
import numpy as np
import pytest

from pipeline.config import (
    DataSection,
    EvaluateSection,
    ExportSection,
    ModelSection,
    PipelineConfig,
)
from pipeline.data import description, records
from pipeline.errors import StageError
from pipeline.sources import LabelledImages
from pipeline.stages import StageContext, evaluate

CLASSES = ("dark", "grey", "light")
KERNEL = np.array([[-0.01, 0.0, 0.01]] * 4, np.float32)
BIAS = np.array([5.0, 1.5, -5.0], np.float32)


class Counting:
    """A progress that remembers how far it came."""

    def __init__(self):
        self.total, self.done = 0, []

    def task(self, description, total):
        self.total = total
        return nullcontext(self)

    def advance(self, steps=1, note=""):
        self.done.append(steps)


def split():
    images = np.random.default_rng(0).integers(0, 256, (30, 2, 2, 1), np.uint8)
    labels = np.digitize(images.mean(axis=(1, 2, 3)), [110, 140])
    return LabelledImages(images, labels)


def expected_probabilities(images):
    scores = np.exp(images.reshape(-1, 4).astype(np.float64) @ KERNEL + BIAS)
    return scores / scores.sum(axis=1, keepdims=True)


def write_inputs(folder, bias=BIAS):
    ingest, train = folder / "ingest", folder / "train"
    ingest.mkdir()
    train.mkdir()
    test = split()
    counts = {"train": (5, 5, 5), "test": tuple(np.bincount(test.labels).tolist())}
    described = description.Description(
        image_shape=(2, 2, 1),
        classes=CLASSES,
        counts=counts,
        pixel_mean=(0.0,),
        pixel_deviation=(1.0,),
        origin="Made up.",
        source_sha256={},
        cleaning={},
    )
    description.write(ingest, described)
    records.write_split(ingest, "test", test)
    dense = keras.layers.Dense(3, activation="softmax", name="probabilities")
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), dense])
    dense.set_weights([KERNEL, bias])
    model.save(train / "model.keras")
    (train / "history.csv").write_text("epoch,loss\n1,0.5\n", encoding="utf-8")
    return {"ingest": ingest, "train": train}


def context_of(folder, **inputs):
    config = PipelineConfig(
        name="three_greys",
        data=DataSection(source="idx"),
        model=ModelSection(preset="compact_cnn"),
        evaluate=EvaluateSection(batch_size=8, worst_mistakes=2),
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
    assert result.summary.startswith(f"accuracy {right / 30:.2%} (")
    assert result.summary.endswith(") on 30 test images")


def test_predictions_name_their_classes(evaluated):
    with (evaluated[0].output / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [CLASSES[label] for label in split().labels]


def test_the_report_is_of_this_config(evaluated):
    page = (evaluated[0].output / "report.html").read_text(encoding="utf-8")
    assert "<h1>three_greys</h1>" in page
    assert "Made up." in page


def test_progress_counts_every_image_in_batches(evaluated):
    progress = evaluated[0].progress
    assert progress.total == 30
    assert progress.done == [8, 8, 8, 6]


def test_a_model_that_gives_no_number_is_refused_with_the_first_image(tmp_path):
    broken = np.array([np.nan, 0, 0], np.float32)
    with pytest.raises(StageError, match=r"model\.keras: gives no number for 30 of 30 .* image 0;"):
        evaluate.run(context_of(tmp_path, bias=broken))
