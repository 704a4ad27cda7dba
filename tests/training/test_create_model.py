import keras
import numpy as np
import pytest

from pipeline.config.schema import DataSection, ExportSection, PipelineConfig
from pipeline.models.lenet5 import Options
from pipeline.training.create_model import create_model


def config(seed=0):
    return PipelineConfig(
        name="test",
        seed=seed,
        data=DataSection(source="idx"),
        model=Options(preset="lenet5", dropout=0.5),
        export=ExportSection(formats=("onnx",)),
    )


def test_the_seed_of_the_config_decides_the_weights():
    first, again, other = (create_model(config(seed), (28, 28, 1), 10) for seed in (1, 1, 2))
    for one, two in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.get_layer("logits").kernel, other.get_layer("logits").kernel)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_policy_changes_the_arithmetic_and_not_the_weights(policy):
    plain = create_model(config(), (28, 28, 1), 10)
    mixed = create_model(config(), (28, 28, 1), 10, policy=policy)
    assert mixed.get_layer("conv1").compute_dtype == policy.removeprefix("mixed_")
    for one, two in zip(plain.weights, mixed.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert keras.config.dtype_policy().name == "float32"
