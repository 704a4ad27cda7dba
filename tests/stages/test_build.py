import json

import keras
import numpy as np
import pytest

from pipeline.config.schema import DataSection, ExportSection, PipelineConfig
from pipeline.core.errors import ConfigError
from pipeline.data import dataset_json
from pipeline.models.compact_cnn import Options
from pipeline.stages.build import run
from pipeline.workflow.stage import StageContext


def describe(folder, shape=(28, 28, 1)):
    folder.mkdir()
    dataset = dataset_json.Description(
        image_shape=shape,
        classes=tuple("0123456789"),
        counts={"train": (1,) * 10},
        pixel_mean=(0.0,) * shape[2],
        pixel_deviation=(1.0,) * shape[2],
        origin="test",
        source_sha256={},
        cleaning={},
    )
    dataset_json.write(folder, dataset)
    return folder


def build(folder, **dataset):
    config = PipelineConfig(
        name="test",
        seed=3,
        data=DataSection(source="idx"),
        model=Options(preset="compact_cnn"),
        export=ExportSection(formats=("onnx",)),
    )
    output = folder / "output"
    output.mkdir()
    inputs = {"ingest": describe(folder / "ingest", **dataset)}
    context = StageContext(config, inputs, output, folder / "scratch", progress=None)
    return run(context), output


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("build"))


def test_the_summary_says_what_the_model_costs(built):
    # 600 · 24·24 + 10,368 · 10·10 + 20,736 · 8·8 + 41,472 · 2·2 + 3,840 = 2,879,232.
    assert built[0].summary == (
        "compact_cnn: 77,890 parameters, 2.9 M multiply-accumulates, "
        "about 79 kB flash and 17 kB RAM as int8"
    )
    assert built[0].metrics["multiply_accumulates"] == 2_879_232


def test_the_model_loads_with_the_weights_of_the_seed(built):
    model = keras.models.load_model(built[1] / "model.keras", safe_mode=True)
    keras.utils.set_random_seed(3)
    expected = keras.initializers.GlorotUniform()((5, 5, 1, 24))
    assert model.get_layer("conv1").kernel.dtype == "float32"
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, expected)


def test_the_model_is_float32_whatever_the_policy_of_the_process(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        _, output = build(tmp_path)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    model = keras.models.load_model(output / "model.keras", safe_mode=True)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_the_summary_file_is_plain_text_with_every_layer(built):
    text = (built[1] / "summary.txt").read_text(encoding="utf-8")
    assert "\x1b" not in text
    for name in ("normalize", "conv1", "pool1", "conv4", "logits", "probabilities"):
        assert name in text


def test_model_json_has_the_costs_and_the_rules_they_follow(built):
    facts = json.loads((built[1] / "model.json").read_text(encoding="utf-8"))
    assert facts["parameters"] == 77_890
    assert facts["trainable_parameters"] == 77_890 - 2 * 216
    # 24·24·24 values before the pool, 12·12·24 after it.
    assert facts["ram_bytes"] == {"float32": 4 * 17_280, "int8": 17_280}
    assert "estimate" in facts["ram_rule"]
    assert "estimate" in facts["flash_rule"]
    assert [layer["multiply_accumulates"] for layer in facts["layers"] if layer["name"] == "conv1"]
    assert facts["uncounted"] == []


def test_images_too_small_for_the_preset_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="compact_cnn takes images of 24×24 pixels or more"):
        build(tmp_path, shape=(16, 16, 1))
