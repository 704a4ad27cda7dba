"""Weights of a trained model go over into a new one, or the two are said not to fit."""

import warnings
from pathlib import Path
from unittest.mock import patch

import keras
import pytest

from pipeline.config.loading import load_config
from pipeline.config.schema import TrainSection
from pipeline.core.content import sha256
from pipeline.core.errors import ConfigError
from pipeline.core.plugins import ROOT
from pipeline.training.load_trained import TrainedModel, read_trained, write_classes
from pipeline.training.techniques import chain_of
from pipeline.training.techniques.ensemble import join
from pipeline.training.techniques.fine_tuning import begin
from pipeline.training.techniques.weight_transfer import take_over
from pipeline.workflow.graph import STAGES
from pipeline.workflow.keys import ingredients
from pipeline.workflow.references import with_folders
from tests.training import begun_models as models
from tests.training.begun_models import CLASSES, make, weights, with_other_weights

WHERE = "train.initial_weights"
MNIST = ROOT / "configs" / "mnist.yaml"


def ancestor(model, classes=CLASSES):
    return TrainedModel(Path("old.keras"), "old.keras", "", model, classes)


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


def test_where_the_old_classes_are_unknown_the_config_must_say_whether_the_head_is_new():
    new = make(seed=3)
    before = weights(new)
    with pytest.raises(ConfigError) as refused:
        take_over(new, ancestor(make(), None), CLASSES, "auto")
    assert str(refused.value) == (
        "old.keras: does not say which 3 classes its head tells apart; set "
        "train.fine_tuning.head to kept if they are the same, in the same order, else to new"
    )
    assert weights(new) == before
    for head, words in {"kept": "goes on with the weights it came with", "new": "is new"}.items():
        assert take_over(make(), ancestor(make(), None), CLASSES, head).endswith(words)
    assert take_over(make(), ancestor(make(5), None), CLASSES, "auto").endswith("number before")


@pytest.mark.parametrize("head", ["auto", "kept", "new"])
def test_an_ensemble_is_refused_for_its_members_share_the_names_of_layers(head):
    joined = join([with_other_weights(make()), make()])
    with pytest.raises(ConfigError) as refused:
        take_over(make(), ancestor(joined), CLASSES, head)
    assert str(refused.value) == (
        "old.keras: is an ensemble, in which 2 layers are called logits; name one network, or make "
        "it a teacher (train.distillation.teacher)"
    )


@pytest.mark.parametrize(
    ("old", "head", "words"),
    [
        (
            make(filters=6),
            "auto",
            "its layer conv1 has weights of 3×3×1×6, expected 3×3×1×4; its layer norm1 has weights "
            "of 6 and 6 and 6 and 6, expected 4 and 4 and 4 and 4; its layer conv2 ",
        ),
        (
            make(5),
            "kept",
            "its layer logits has weights of 4×5 and 5, expected 4×3 and 3. For other classes set ",
        ),
        (make(channels=3), "new", "They took images of 8×8×3; set `data` and `model` as there"),
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
    classes = ("ä", "b,c", "1")
    before = {"begun_from": "train fedcba9876543210"}
    folder = models.publish(tmp_path, make(), classes, **before)
    link = tmp_path / "runs"
    link.symlink_to(folder)
    found = read_trained(link, WHERE)
    assert found.name == "train 0123456789abcdef, begun from train fedcba9876543210"
    assert found.sha256 == sha256(folder / "model.keras")
    assert found.classes == classes


def test_the_classes_of_an_artifact_that_does_not_tell_them_are_not_known(tmp_path):
    folder = models.publish(tmp_path, make())
    write_classes(folder, CLASSES)  # since, by somebody else
    assert read_trained(folder, WHERE).classes is None


def ingredients_of(folder):
    (train,) = (stage for stage in STAGES if stage.name == "train")
    named = [f"train.initial_weights={folder}", "tune.enabled=false"]
    return ingredients(load_config(ROOT / "configs" / "mnist.yaml", named), train, {})


def test_what_decides_whether_the_head_is_new_is_part_of_the_key(tmp_path):
    """Equal bytes of the model, and each of three things that `auto` does with its head."""
    folders = {
        name: models.publish(tmp_path / str(name), None, classes)
        for name, classes in enumerate([CLASSES, ("x", "y", "z"), None, CLASSES])
    }
    for folder in folders.values():
        (folder / "model.keras").write_bytes(b"the same weights")
    same, other, unknown, again = (ingredients_of(folder) for folder in folders.values())
    assert same == again
    assert len({each["outside"] for each in (same, other, unknown)}) == 3
    (folders[0].parent.parent / "ingest").mkdir()  # what lies beside the artifact decides nothing
    assert ingredients_of(folders[0]) == same


def test_a_model_from_a_file_is_known_by_its_name_and_its_bytes(tmp_path):
    path, lines = tmp_path / "mine.keras", []
    make().save(path)
    section = TrainSection(initial_weights=path, fine_tuning={"head": "kept"})
    lineage, _ = begin(make(), section, CLASSES, lines.append)
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
        ConfigError,
        match=r"model\.keras is not the file that was published; `check` says how to mend it",
    ):
        read_trained(folder, WHERE)
    built = models.publish(tmp_path, make(), stage="build")
    with pytest.raises(ConfigError, match="is an artifact of build; name one of train"):
        read_trained(built, WHERE)


def test_a_model_that_runs_code_is_refused_with_a_remedy_that_works(tmp_path):
    layers = [keras.Input((2,)), keras.layers.Lambda(lambda x: x, output_shape=(2,))]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = models.publish(tmp_path, model)
    (folder / "trusted.json").write_text('{"code": null}')
    for path in (folder, folder / "model.keras"):
        with pytest.raises(ConfigError) as refused:
            read_trained(path, "train.distillation.teacher")
        assert str(refused.value) == (
            f"{folder / 'model.keras'}: holds Lambda, which can run any code when it is loaded; "
            "train.distillation.teacher takes none such; save it again without them, or name "
            "another model"
        )


def test_an_artifact_without_a_model_is_refused(tmp_path):
    folder = models.publish(tmp_path, None)
    (folder / "model.keras").touch()
    with pytest.raises(ConfigError, match=rf"^{WHERE}: .* holds no model\.keras; name another"):
        read_trained(folder, WHERE)


def test_without_initial_weights_nothing_is_read_or_said():
    with patch("pipeline.training.techniques.fine_tuning.read_trained") as read:
        chain = chain_of(TrainSection(), None, None, read)
        chain.prepare()
        assert chain.wrap("a network") == "a network"
        assert chain.facts() == {}
    assert not read.called


def test_a_file_that_was_saved_before_it_was_built_is_refused(tmp_path):
    model = keras.Sequential([keras.layers.Conv2D(2, 3, name="a"), keras.layers.Dense(3, name="b")])
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(ConfigError, match=r"m.keras: holds no weights for a, b, for it was saved"):
        read_trained(tmp_path / "m.keras", WHERE)


def test_what_is_no_keras_file_is_named_with_the_way_to_one(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"m.onnx is no model of Keras; bring the Keras model"):
        with_folders(load_config(MNIST, [f"train.initial_weights={tmp_path / 'm.onnx'}"]), tmp_path)
