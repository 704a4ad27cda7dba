"""Weights of a trained model go over into a new one, or the two are said not to fit."""

from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.artifacts.digest import sha256
from pipeline.config import TrainSection
from pipeline.data import description
from pipeline.data.description import Description
from pipeline.errors import ConfigError
from pipeline.training.fine_tuning import begin
from pipeline.training.initial_weights import Ancestor, read_ancestor, take_over
from tests.training import begun_models as models
from tests.training.begun_models import CLASSES, make, weights, with_other_weights


def ancestor(model, classes=CLASSES):
    return Ancestor(Path("old.keras"), "old.keras", "", model, classes)


def test_all_layers_go_over_where_the_classes_are_the_same():
    old, new = with_other_weights(make()), make()
    words = take_over(new, ancestor(old), CLASSES, "auto")
    assert weights(new) == weights(old)
    assert words == "the head logits goes on with the weights it came with"


@pytest.mark.parametrize(
    ("old", "classes", "head", "words"),
    [
        (make(5), tuple("vwxyz"), "auto", "is new: 3 classes, and another number before"),
        (make(), ("x", "y", "z"), "auto", "is new: the classes are others"),
        (make(), CLASSES, "new", "is new"),
        (make(), CLASSES, "nearest_mean", "is new"),
    ],
)
def test_the_head_alone_is_new_where_the_classes_are_others_or_the_config_says_so(
    old, classes, head, words
):
    with_other_weights(old)
    new, untouched = make(seed=3), make(seed=3)
    assert take_over(new, ancestor(old, classes), CLASSES, head) == f"the head logits {words}"
    assert weights(new) == {**weights(old), "logits": weights(untouched)["logits"]}


def test_where_the_old_classes_are_unknown_it_is_said_that_the_head_is_kept():
    words = take_over(make(), ancestor(make(), None), CLASSES, "auto")
    assert "is not known (train.fine_tuning.head=new makes it new)" in words
    assert take_over(make(), ancestor(make(), tuple("xyz")), CLASSES, "kept").endswith("came with")


@pytest.mark.parametrize(
    ("old", "head", "words"),
    [
        (
            make(filters=6),
            "auto",
            "its layer conv1 has weights of 3×3×1×6, expected 3×3×1×4; its layer norm1 has weights "
            "of 6 and 6 and 6 and 6, expected 4 and 4 and 4 and 4; its layer conv2 ",
        ),
        (make(5), "kept", "its layer logits has weights of 4×5 and 5, expected 4×3 and 3. Set"),
        (
            make(activation="tanh"),
            "auto",
            "its layer activation1 has activation tanh, expected relu. Set `model` as it was",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_found_and_expected(old, head, words):
    new = make()
    before = weights(new)
    with pytest.raises(ConfigError) as refused:
        take_over(new, ancestor(old), CLASSES, head)
    assert str(refused.value).startswith("old.keras: does not fit the network of `model`: ")
    assert words in str(refused.value)
    assert weights(new) == before


def test_layers_that_one_of_the_two_lacks_are_named():
    old, new = make(), make()
    old.get_layer("conv2").name = "elsewhere"
    with pytest.raises(ConfigError, match="it lacks the layer conv2; its layer elsewhere has no"):
        take_over(new, ancestor(old), CLASSES, "auto")


def test_a_model_from_an_artifact_is_known_by_its_key_its_bytes_and_its_classes(tmp_path):
    folder = models.publish(tmp_path, make(), begun_from="train fedcba9876543210")
    assert read_ancestor(TrainSection(initial_weights=folder)).classes is None
    images = tmp_path / "ingest" / ("f" * 16)
    images.mkdir(parents=True)
    described = Description((8, 8, 1), CLASSES, {}, (), (), "made", {}, {})
    description.write(images, Description(**{**asdict(described), "counts": {"train": (1, 2, 3)}}))
    link = tmp_path / "runs"
    link.symlink_to(folder)
    found = read_ancestor(TrainSection(initial_weights=link))
    assert found.name == "train 0123456789abcdef, begun from train fedcba9876543210"
    assert found.sha256 == sha256(folder / "model.keras")
    assert found.classes == CLASSES


def test_a_model_from_a_file_is_known_by_its_name_and_its_bytes(tmp_path):
    path, lines = tmp_path / "mine.keras", []
    make().save(path)
    lineage = begin(make(), TrainSection(initial_weights=path), CLASSES, lines.append)
    assert lineage["begun_from"] == "mine.keras"
    assert lineage["begun_from_sha256"] == sha256(path)
    assert lineage["batch_norm"].startswith("frozen: it computes with the statistics")
    assert lines[0].startswith("begins from mine.keras; the head logits goes on with the weights")
    assert lines[0].endswith(
        "; batch norm frozen: it computes with the statistics that it came with"
    )


def test_a_damaged_artifact_and_one_of_another_stage_are_refused(tmp_path):
    folder = models.publish(tmp_path, make())
    model = folder / "model.keras"
    model.write_bytes(bytes(len(model.read_bytes())))
    with pytest.raises(
        ConfigError, match=r"model\.keras is not the file that was published; mend it"
    ):
        read_ancestor(TrainSection(initial_weights=folder))
    built = models.publish(tmp_path, make(), stage="build")
    with pytest.raises(ConfigError, match="is an artifact of build; name one of train"):
        read_ancestor(TrainSection(initial_weights=built))


def test_without_initial_weights_nothing_is_read_or_said():
    with patch("pipeline.training.fine_tuning.read_ancestor") as read:
        assert begin(None, TrainSection(), CLASSES, read) == {}
    assert not read.called
