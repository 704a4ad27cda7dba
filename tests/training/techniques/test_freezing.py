"""Layers that are frozen, for good or at first, and the words for them."""

import pytest

from pipeline.config.train.fine_tuning import FineTuning
from pipeline.core.errors import ConfigError
from pipeline.training.techniques.freezing import describe, freeze, treatments
from tests.training.begun_models import make


@pytest.fixture(scope="module")
def shared():
    return make()


def first_epochs(model, **settings):
    return {t.name: t.first_epoch for t in treatments(model, FineTuning(**settings))}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"conv1": 0, "norm1": None, "conv2": 0, "logits": 0}),
        ({"freeze_batch_norm": False}, {"conv1": 0, "norm1": 0, "conv2": 0, "logits": 0}),
        (
            {"freeze": "all_but_head", "freeze_batch_norm": False},
            {"conv1": None, "norm1": None, "conv2": None, "logits": 0},
        ),
        ({"freeze": ("conv1",)}, {"conv1": None, "norm1": None, "conv2": 0, "logits": 0}),
        (
            {"freeze": "all_but_head", "unfreeze_every_epochs": 3, "freeze_batch_norm": False},
            {"conv1": 6, "norm1": 6, "conv2": 3, "logits": 0},
        ),
        (
            {"freeze": "all_but_head", "unfreeze_every_epochs": 3},
            {"conv1": 6, "norm1": None, "conv2": 3, "logits": 0},
        ),
    ],
)
def test_each_layer_trains_from_its_epoch_on(shared, settings, expected):
    assert first_epochs(shared, **settings) == expected


def test_batch_norm_of_a_frozen_layer_keeps_its_weights_while_its_statistics_move():
    model = make()
    section = FineTuning(freeze="all_but_head", freeze_batch_norm=False)
    freeze(treatments(model, section), section)
    assert model.trainable_variables == model.get_layer("logits").trainable_variables
    assert model.get_layer("norm1").trainable
    assert not model.get_layer("conv1").trainable


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"freeze": ("conv9",)},
            "freeze names 'conv9', which is no layer with weights. Available:",
        ),
        ({"freeze": ("logits",)}, "freeze names logits, the head; it has to train"),
        ({"rate_factors": {"pool": 0.5}}, "rate_factors names 'pool', which is no layer with we"),
        (
            {"freeze": ("conv1",), "rate_factors": {"conv1": 0.5}},
            "rate_factors names conv1, which is frozen",
        ),
        ({"rate_factors": {"norm1": 0.5}}, "rate_factors names norm1, which is frozen"),
    ],
)
def test_layers_that_there_are_not_or_that_cannot_be_so_are_refused(shared, settings, words):
    with pytest.raises(ConfigError) as refused:
        treatments(shared, FineTuning(**settings))
    assert f"train.fine_tuning.{words}" in str(refused.value)


def test_it_is_said_what_trains_when_and_how_fast(shared):
    section = FineTuning(
        freeze="all_but_head",
        unfreeze_every_epochs=2,
        rate_factors={"logits": 5},
        freeze_batch_norm=False,
    )
    assert list(describe(treatments(shared, section), section, 4)) == [
        "frozen at first, and training later: conv2 from epoch 3, conv1 from epoch 5 (4 epochs end "
        "before conv1)",
        "learning rate of logits × 5",
        "batch norm not frozen: its statistics follow the images of this training",
    ]
    frozen = FineTuning(freeze=("conv1",))
    assert list(describe(treatments(shared, frozen), frozen, 4)) == [
        "frozen: conv1",
        "batch norm frozen: it computes with the statistics that it came with",
    ]
