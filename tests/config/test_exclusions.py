"""Settings of training that exclude each other."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config.schema import TrainSection
from pipeline.config.train import EXCLUSIONS

TRAINED = Path("a.keras")
BEGUN = {"initial_weights": TRAINED}
OPTIONS = {
    "model_file": {"model_file": TRAINED},
    "initial_weights": BEGUN,
    "fine_tuning.head: nearest_mean": {**BEGUN, "fine_tuning": {"head": "nearest_mean"}},
    "fine_tuning.freeze": {**BEGUN, "fine_tuning": {"freeze": "all_but_head"}},
    "fine_tuning.freeze_batch_norm: true": BEGUN,
    "fine_tuning.rate_factors": {
        **BEGUN,
        "fine_tuning": {"rate_factors": {"conv1": 0.1}, "freeze_batch_norm": False},
    },
    "members": {"members": 2},
    "member_presets": {"members": 2, "member_presets": ("lenet5",)},
    "pruning": {"pruning": {"sparsity": 0.5}},
    "quantization_aware": {"quantization_aware": {"enabled": True}},
    "distillation": {"distillation": {"teacher": TRAINED}},
    "sharpness_aware": {"sharpness_aware": {"rho": 0.05}},
    "jit_compile: true": {"jit_compile": True},
    "precision: mixed_float16": {"precision": "mixed_float16"},
    "precision: mixed_bfloat16": {"precision": "mixed_bfloat16"},
    "strategy: mirrored": {"strategy": "mirrored"},
    "strategy: multi_worker": {"strategy": "multi_worker"},
}
PAIRS = [(setting, other) for setting, others, _ in EXCLUSIONS for other in others]


@pytest.mark.parametrize(("setting", "other"), PAIRS)
def test_two_settings_that_exclude_each_other_are_refused_by_name(setting, other):
    with pytest.raises(ValidationError, match=f"{setting} and {other} exclude each other: "):
        TrainSection(**OPTIONS[setting], **OPTIONS[other])


@pytest.mark.parametrize("setting", OPTIONS)
def test_each_of_them_alone_is_allowed(setting):
    assert setting in TrainSection(**OPTIONS[setting]).in_use


@pytest.mark.parametrize("setting", ["pruning", "quantization_aware"])
def test_what_begins_after_the_first_epoch_needs_a_second(setting):
    with pytest.raises(ValidationError, match=f"{setting} begins .* set epochs to 2 or more"):
        TrainSection(epochs=1, **OPTIONS[setting])
