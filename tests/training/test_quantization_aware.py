"""A training that rounds as the int8 file does gives the answers of the int8 file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from export.keras_files import load
from export.keras_files.saved_model_writer import write_saved_model
from export.tflite.interpreter import Run
from export.tflite.quantization import quantize, ranges
from export.tflite.quantization.recipe import Recipe
from pipeline.config.schema import DataSection, ExportSection, PipelineConfig, TrainSection
from pipeline.core.errors import ConfigError, ExportError
from pipeline.data import dataset_json, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.models import tiny_cnn
from pipeline.stages import build, train
from pipeline.training.techniques import chain_of
from pipeline.training.techniques.quantization_aware.fake_quant import (
    Range,
    round_constant,
    round_kernel,
)
from pipeline.training.techniques.quantization_aware.fusing import blocks_of
from pipeline.training.techniques.quantization_aware.model import QuantizationAware
from pipeline.workflow.stage import StageContext
from tests.training import resumed_training as training
from tests.training.conftest import Silent
from tests.training.test_resume import Kill, KilledError

SIDE, CLASSES = 24, 3
AWARE = {"quantization_aware": {"enabled": True}}
layers = keras.layers


def images(count, seed):
    """Noise in which a band of rows, the class, is a little brighter."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    found = random.integers(0, 200, (count, SIDE, SIDE, 1), dtype=np.uint8)
    for image, label in zip(found, labels, strict=True):
        image[8 * label : 8 * label + 8] += 50
    return LabelledImages(found, labels)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The artifact of a training in 8 bits, and the twin that was trained."""
    root = tmp_path_factory.mktemp("aware")
    folders = {name: root / name for name in ("ingest", "build", "train", "scratch")}
    for folder in folders.values():
        folder.mkdir()
    parts = {"train": images(96, 1), "validation": images(48, 2)}
    counts = {name: tuple(np.bincount(part.labels).tolist()) for name, part in parts.items()}
    shape = (SIDE, SIDE, 1)
    made = Description(shape, tuple("abc"), counts, (), (), "made", {}, {})
    dataset_json.write(folders["ingest"], made)
    for name, part in parts.items():
        tfrecords.write_split(folders["ingest"], name, part)
    options = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "jit_compile": False}
    config = PipelineConfig(
        name="test",
        data=DataSection(source="idx"),
        model=tiny_cnn.Options(preset="tiny_cnn", filters=(3, 6), head="flatten"),
        train=TrainSection(**options, quantization_aware={"enabled": True, "begin_fraction": 0.3}),
        export=ExportSection(formats=("onnx",)),
    )
    kept, unwrap = [], QuantizationAware.unwrap

    def keep(technique, *arguments):
        kept.append(technique.twin)
        return unwrap(technique, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuantizationAware, "unwrap", keep)
        for stage, name in ((build, "build"), (train, "train")):
            context = StageContext(config, folders, folders[name], folders["scratch"], Silent())
            result = stage.run(context)
    return folders["train"], kept[0], result


@pytest.fixture(scope="module")
def prepared(trained, tmp_path_factory):
    """The float32 TFLite file of the published model."""
    saved = tmp_path_factory.mktemp("saved") / "model"
    write_saved_model(load.load(trained[0] / load.MODEL), saved, batch=1)
    return quantize.prepare(tf.lite.TFLiteConverter.from_saved_model(str(saved)).convert())


def test_the_int8_file_gives_the_answers_that_training_saw(trained, prepared):
    folder, twin, _ = trained
    held_out = images(1000, 3).images
    observed = ranges.observe(prepared, images(50, 1).images)
    used = ranges.with_learnt(observed, prepared, folder)
    int8 = Run(quantize.quantize(prepared, used, Recipe(dense_scales="one"))).probabilities(
        held_out
    )
    seen = twin.predict(held_out, verbose=0)
    assert int8.std(axis=0).min() > 0.01
    assert (int8.argmax(1) == seen.argmax(1)).mean() >= 0.999
    assert np.abs(int8 - seen).max() <= 1 / 256
    unrounded = load.load(folder / load.MODEL).predict(held_out, verbose=0)
    assert np.abs(unrounded - seen).mean() > 2 * np.abs(int8 - seen).mean()


def test_what_is_published_is_a_plain_float32_model_of_an_epoch_in_8_bits(trained):
    folder, _, result = trained
    model = load.load(folder / load.MODEL)
    assert [type(layer).__module__.split(".")[0] for layer in model.layers] == (
        ["keras"] * len(model.layers)
    )
    assert result.metrics["best_epoch"] > 1
    assert result.metrics["precision"] == "float32"


def test_learnt_ranges_of_another_network_are_refused(trained, prepared, tmp_path):
    ranges.write_learnt([("CONV_2D", (0.0, 1.0))], tmp_path)
    observed = ranges.observe(prepared, images(2, 1).images)
    with pytest.raises(ExportError, match=r"has ranges for CONV_2D, but the model became CONV"):
        ranges.with_learnt(observed, prepared, tmp_path)


@pytest.mark.long
def test_killed_while_it_rounds_it_ends_the_same(tmp_path):
    training.write_images(tmp_path)
    options = {"epochs": 3, "early_stopping_patience": None, **AWARE}
    config = training.make_config(training.AS_THEY_ARE, **options)
    splits = training.open_images(tmp_path, "memory")
    unbroken = training.train(config, splits, tmp_path / "unbroken")
    folder, began = tmp_path / "killed", []
    with pytest.raises(KilledError):
        training.train(config, splits, folder, Kill("step", 2, 6), began=began)
    resumed = training.train(config, splits, folder, began=began)
    assert began == [(0, 0), (2, 4)]
    training.assert_same(resumed, unbroken)
    lows, highs = unbroken.best[-6::3], unbroken.best[-5::3]
    assert all(low < high for low, high in zip(lows, highs, strict=True))


def test_a_kernel_is_rounded_to_127_steps_of_each_channel_either_way():
    kernel = tf.constant([[12.7, 2.54], [0.26, -1.27], [-0.04, 0.0]])
    rounded = round_kernel(kernel, (0,)).numpy()
    np.testing.assert_allclose(rounded, [[12.7, 2.54], [0.3, -1.28], [0, 0]], atol=1e-6)


def test_gradients_pass_a_rounded_kernel_as_if_it_were_not_rounded():
    kernel = tf.Variable([[1.0, 0.333], [0.777, -0.1]])
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(round_kernel(kernel, (0,)) * [[1.0, 2.0], [3.0, 4.0]])
    assert tape.gradient(result, kernel).numpy().tolist() == [[1, 2], [3, 4]]


def test_a_constant_is_rounded_to_256_steps_from_0_to_its_largest():
    rounded = round_constant(tf.constant([2.55, 0.014, 1.006])).numpy()
    np.testing.assert_allclose(rounded, [2.55, 0.01, 1.01], atol=1e-6)


def test_a_range_follows_batches_and_holds_still_otherwise():
    follower = Range()
    follower(tf.constant([1.0, 3.0]), training=True)
    assert follower.ends == (0, 3)
    follower(tf.constant([-1.0, 4.0]), training=True)
    assert follower.ends == pytest.approx((-0.01, 3.01))
    clipped = follower(tf.constant([9.0]), training=False)
    assert clipped.numpy() == pytest.approx(3.01, abs=0.02)
    assert follower.ends == pytest.approx((-0.01, 3.01))


@pytest.mark.parametrize("layer", [layers.Dense(2, activation="relu"), layers.Rescaling(1, 5)])
def test_a_layer_whose_int8_form_is_not_known_is_refused_by_name(layer):
    with pytest.raises(ConfigError, match=rf"^train\.quantization_aware: layer {layer.name} .*set"):
        list(blocks_of([layer]))


def test_rounding_begins_neither_with_the_first_epoch_nor_after_the_last():
    begins = [
        TrainSection(epochs=4, quantization_aware={"enabled": True, "begin_fraction": fraction})
        for fraction in (0.01, 0.5, 0.99)
    ]
    chains = [chain_of(section, None, None, None) for section in begins]
    assert [chain.first_epoch() for chain in chains] == [1, 2, 3]
