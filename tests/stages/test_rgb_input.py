"""Files of a grey model that take three channels: `export.rgb_input`."""

import keras
import numpy as np
import pytest
from PIL import Image

from export.formats import contract, verdict
from export.formats import format as formats_module
from pipeline.config.loading import load_config
from pipeline.config.schema import ExportSection
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.data import dataset_json, tfrecords
from pipeline.data.dataset_json import Description
from pipeline.data.images.types import LabelledImages
from pipeline.stages import export, verify
from pipeline.workflow.stage import StageContext
from tests.children_here import children_here
from tests.stages.test_export import CLASSES, SHAPE, context_for, write_inputs

NAMES = ("onnx", "tflite_float32", "tflite_int8")


def rgb_context(root, inputs):
    context = context_for(root, inputs, NAMES)
    section = ExportSection(formats=NAMES, rgb_input=True)
    config = context.config.model_copy(update={"export": section})
    return StageContext(config, inputs, context.output, context.scratch, context.progress)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The stage's context, and the grey model."""
    inputs = write_inputs(tmp_path_factory.mktemp("inputs"))
    context = rgb_context(tmp_path_factory.mktemp("run"), inputs)
    with children_here():
        export.run(context)
    return context, keras.saving.load_model(inputs["train"] / "model.keras")


def grey(count=20):
    """As bright as the images that int8 was calibrated on."""
    return np.random.default_rng(3).integers(0, 50, (count, *SHAPE)).astype(np.uint8)


def test_the_contract_says_three_channels_of_colour(exported):
    context, _ = exported
    promised = contract.read(context.output)
    assert promised.input.shape == (8, 8, 3)
    assert promised.input.colour == "rgb"
    assert promised.input.as_trained.shape == (8, 8, 1)
    assert promised.input.as_trained.colour == "grey"


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_get_the_answers_of_the_grey_model(exported, name):
    context, model = exported
    path = context.output / formats_module.formats()[name].path
    given = formats_module.answers(name, path, grey())
    expected = np.asarray(model(grey().astype(np.float32)))
    np.testing.assert_allclose(given, expected, atol=0.01 if "int8" in name else 1e-5)


@pytest.mark.parametrize("name", ["onnx", "tflite_float32"])
def test_a_colour_image_gets_the_answer_to_the_grey_that_pillow_makes_of_it(exported, name):
    context, model = exported
    colour = np.random.default_rng(4).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    colour[0] = (0, 255, 0)
    path = context.output / formats_module.formats()[name].path
    given = formats_module.answers(name, path, colour)
    grey_of = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colour])
    expected = np.asarray(model(grey_of[..., None].astype(np.float32)))
    np.testing.assert_allclose(given, expected, atol=2e-3)  # Pillow's are whole numbers


def test_verification_feeds_grey_images_as_three_channels(exported, tmp_path):
    context, model = exported
    labels = np.arange(20) % 3
    ingest, evaluate = tmp_path / "ingest", tmp_path / "evaluate"
    for folder in (ingest, evaluate, tmp_path / "output", tmp_path / "scratch"):
        folder.mkdir()
    shares = {"test": tuple(np.bincount(labels).tolist())}
    about = Description(SHAPE, CLASSES, shares, (0.0,), (1.0,), "noise", {}, {})
    dataset_json.write(ingest, about)
    tfrecords.write_split(ingest, "test", LabelledImages(grey(), labels))
    np.save(evaluate / "probabilities.npy", np.asarray(model(grey().astype(np.float32))))
    config = context.config.model_copy(
        update={"export": context.config.export.model_copy(update={"formats": NAMES[:2]})}
    )
    inputs = {"ingest": ingest, "evaluate": evaluate, "export": context.output}
    folders = (tmp_path / "output", tmp_path / "scratch", context.progress)
    with children_here():
        verify.run(StageContext(config, inputs, *folders))
    found = verdict.read(tmp_path / "output" / verdict.FILE_NAME)
    assert [(row.agreement, row.passed) for row in found.formats] == [(1, True)] * 2
    golden = tmp_path / "output" / "golden"
    with Image.open(golden / "images" / "00.png") as image:
        assert image.mode == "RGB"
        red, green, blue = image.split()
        assert red.tobytes() == green.tobytes() == blue.tobytes()
    assert (golden / "inputs" / "float32.bin").stat().st_size == 20 * 8 * 8 * 3 * 4


def test_data_in_colour_is_refused(tmp_path):
    inputs = write_inputs(tmp_path / "inputs")
    about = dataset_json.read(inputs["ingest"])
    colour = Description((8, 8, 3), CLASSES, about.counts, (0.0,) * 3, (1.0,) * 3, "n", {}, {})
    dataset_json.write(inputs["ingest"], colour)
    with pytest.raises(ConfigError, match=r"export.rgb_input: is for grey images, and .* have 3"):
        export.run(rgb_context(tmp_path, inputs))


def test_colour_is_refused_when_the_config_is_read(tmp_path):
    said = ["data.source=image_folder", f"data.folder={tmp_path}", "data.image_size=[8, 8]"]
    with pytest.raises(ConfigError, match=r"rgb_input is for grey images, and data.color_mode"):
        load_config(ROOT / "configs" / "mnist.yaml", [*said, "export.rgb_input=true"])


def test_ranges_that_a_training_learnt_are_of_the_grey_model():
    said = ["export.rgb_input=true", "train.quantization_aware.enabled=true", "train.epochs=4"]
    with pytest.raises(ConfigError, match=r"rgb_input and train.quantization_aware exclude"):
        load_config(ROOT / "configs" / "mnist.yaml", said)
