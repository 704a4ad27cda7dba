"""Settings of a training that begins from a trained model."""

from pathlib import Path

import pytest

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.workflow.graph import STAGES
from pipeline.workflow.keys import outside_files

BEGUN = "train.initial_weights=old.keras"
STAGE = {stage.name: stage for stage in STAGES}


def load(*overrides):
    return load_config(ROOT / "configs" / "mnist.yaml", overrides)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["train.fine_tuning.freeze=all_but_head"],
            "fine_tuning needs initial_weights: the fold",
        ),
        ([BEGUN, "train.fine_tuning.freeze=al"], "'al' should be none, all_but_head, or a list of"),
        ([BEGUN, "train.fine_tuning.freeze=[]"], "[] should be none, all_but_head, or a list of"),
        ([BEGUN, "train.fine_tuning.freeze=[1]"], "[1] should be none, all_but_head, or a list"),
        (
            [BEGUN, "train.fine_tuning.unfreeze_every_epochs=1"],
            "unfreeze_every_epochs has nothing to unfreeze; set freeze too",
        ),
        (
            [BEGUN, "train.fine_tuning={head: nearest_mean, freeze: [conv1]}"],
            "nearest_mean trains nothing; leave out freeze",
        ),
        (["data.train_limit=90", "data.train_per_class=9"], "both limit training; drop one"),
        (
            [BEGUN, "train.fine_tuning.head=nearest_mean", "tune.enabled=true"],
            "nearest_mean trains nothing, so there is nothing to search; set tune.enabled=false",
        ),
        ([BEGUN, "train.fine_tuning.rate_factors.conv1=0"], "greater than 0"),
        ([BEGUN, "train.fine_tuning.frezze=none"], "Did you mean 'freeze'?"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(overrides, words):
    with pytest.raises(ConfigError) as refused:
        load(*overrides)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_whole_fine_tuning_is_read():
    found = load(
        BEGUN,
        "train.fine_tuning={freeze: [conv1, conv2], unfreeze_every_epochs: 2, "
        "rate_factors: {conv3: 0.1}, freeze_batch_norm: false}",
    ).train.fine_tuning
    assert found.freeze == ("conv1", "conv2")
    assert found.unfreeze_every_epochs == 2
    assert found.rate_factors == {"conv3": 0.1}
    assert not found.freeze_batch_norm


@pytest.mark.parametrize(
    ("given", "files"),
    [
        ("old.keras", {"initial_weights": Path("old.keras")}),
        (
            "made/train/ab",
            {"initial_weights": Path("made/train/ab/model.keras"), "initial_classes": None},
        ),
    ],
)
def test_the_bytes_of_the_initial_weights_count_and_their_place_does_not(given, files):
    config = load(f"train.initial_weights={given}")
    for stage in ("tune", "train"):
        assert outside_files(STAGE[stage], config) == files
