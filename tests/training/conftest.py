"""A tiny network, images that it can learn, and the train stage on models that users bring."""

from contextlib import contextmanager

import keras
import numpy as np
import pytest

from pipeline.config.schema import (
    DataSection,
    ExportSection,
    ModelSection,
    PipelineConfig,
    TrainSection,
)
from pipeline.data import dataset_json, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.data.sources.idx import Options
from pipeline.stages import train
from pipeline.training.fit import Splits
from pipeline.workflow.stage import StageContext
from tests.training import brought_models

CLASSES = 3


@pytest.fixture
def make_config():
    def make(**train):
        return PipelineConfig(
            name="test",
            data=DataSection(source="idx"),
            model=ModelSection(preset="two_conv"),
            train=TrainSection(**train),
            export=ExportSection(formats=("onnx",)),
        )

    return make


@pytest.fixture
def tiny_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1), name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation="softmax", dtype="float32"),
        ]
    )


def labelled(count, seed):
    """Images whose class is the pair of rows that is bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 100, (count, 6, 6, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 150
    return LabelledImages(images, labels)


@pytest.fixture
def splits():
    """60 training and 30 validation images."""
    return Splits(labelled(60, seed=1), labelled(30, seed=2), CLASSES)


class Silent:
    @contextmanager
    def task(self, description, total):
        yield self

    def advance(self, steps=1, note=""):
        pass

    def line(self, text):
        pass


def ingested(folder, classes, data):
    counts = tuple(np.bincount(data.labels).tolist())
    dataset_json.write(
        folder,
        Description(
            brought_models.SHAPE, classes, {"validation": counts}, (0.0,), (1.0,), "made", {}, {}
        ),
    )
    tfrecords.write_split(folder, "validation", data)
    return folder


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ingest")
    return ingested(folder, brought_models.CLASSES, brought_models.images())


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """Of the first two classes alone."""
    every = brought_models.images(60)
    two = every.select(np.flatnonzero(every.labels < 2))
    return ingested(tmp_path_factory.mktemp("two"), brought_models.CLASSES[:2], two)


@pytest.fixture
def bring(ingest, tmp_path):
    """Runs the train stage on a model, or on a file; gives its folder and what it says."""

    def run(model, ingest=ingest, **options):
        path = model
        if isinstance(model, keras.Model):
            path = tmp_path / "mine.keras"
            model.save(path)
        config = PipelineConfig(
            name="test",
            data=Options(),
            model=ModelSection(preset="two_conv"),
            train=TrainSection(model_file=path, **options),
            export=ExportSection(formats=("onnx",)),
        )
        output = tmp_path / "train"
        output.mkdir()
        context = StageContext(config, {"ingest": ingest}, output, tmp_path, Silent())
        return output, train.run(context)

    return run
