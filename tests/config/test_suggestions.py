"""Unknown keys lead to the section that has them; a value that should be a list shows how."""

import pytest

from pipeline.config.loading import load_config
from pipeline.config.suggestions import nearest
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT

PHOTOS = ROOT / "configs" / "photos.yaml"
TABLE = ("data.source=csv", "data.train_file=x.csv", "data.test_fraction=0.5")


def refusal(*overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(PHOTOS, overrides)
    return str(caught.value).removeprefix("command line: ")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("epochs=3", "epochs is no known key. Did you mean train.epochs or tune.epochs? Avail"),
        ("train.filters=8", "train.filters is no known key. Did you mean model.filters? Available"),
        ("train.epoch=3", "train.epoch is no known key. Did you mean 'epochs'? Available: "),
        (
            "train.pruning={sparsity: 0.5, scop: layer}",
            "train.pruning.scop is no known key. Did you mean 'scope'? Available: begin_",
        ),
        ("qqq=3", "qqq is no known key. Available: augmentation, "),
    ],
)
def test_an_unknown_key_leads_to_the_section_that_has_it(override, expected):
    assert refusal(override).startswith(expected)


@pytest.mark.parametrize(
    ("override", "ending"),
    [
        ("data.image_size=96", " is 96; it should be a list, such as [96, 96]"),
        ("data.image_size=96x96", " is '96x96'; it should be a list, such as [64, 64]"),
        ("data.classes=cat", " is 'cat'; it should be a list, such as [cat]"),
        ("train.pixel_range=1.0", " is 1.0; it should be a list"),
        ("data.image_size=[1,2,3]", "; it should have at most 2 items after validation, not 3"),
    ],
)
def test_a_value_that_should_be_a_list_shows_one(override, ending):
    assert refusal(override).endswith(ending)


def test_a_choice_within_a_list_is_one_that_is_allowed():
    assert refusal(*TABLE, "data.image_shape=28").endswith("such as [28, 28, 1]")
    assert refusal(*TABLE, "data.image_shape=3").endswith("such as [3, 3, 3]")


@pytest.mark.parametrize(
    ("classes", "expected"), [("[bricks]", "names 1 class;"), ("[]", "names 0 classes;")]
)
def test_class_names_must_be_two_or_more(classes, expected):
    told = refusal(f"data.classes={classes}")
    assert told == f"data.classes: {expected} 2 or more are needed"


CONFIGS = ("cifar10", "emnist_letters", "fashion_mnist", "mnist", "photos", "smoke", "tiny")
PRESETS = ("compact_cnn", "lenet5", "three_conv", "tiny_cnn", "two_conv")


@pytest.mark.parametrize(
    ("name", "available", "near"),
    [
        ("mnits", CONFIGS, "mnist"),
        ("MNIST", CONFIGS, "mnist"),
        ("photo", CONFIGS, "photos"),
        ("cifar-10", CONFIGS, "cifar10"),
        ("emnist", CONFIGS, "mnist"),
        ("letters", CONFIGS, "emnist_letters"),
        ("pets", CONFIGS, None),
        ("flowers", CONFIGS, None),
        ("minimal", CONFIGS, None),
        ("images", CONFIGS, None),
        ("", CONFIGS, None),
        ("lenet", PRESETS, "lenet5"),
        ("compact", PRESETS, "compact_cnn"),
        ("resnet", PRESETS, None),
        ("one_conv", PRESETS, None),
        ("cvs", ("csv", "idx", "npz"), "csv"),
        ("tif", ("csv", "idx", "npz"), None),
        ("lion", ("sgd", "adam", "adamw"), None),
    ],
)
def test_only_a_slip_or_words_left_out_are_taken_for_a_name(name, available, near):
    assert nearest(name, available) == near
